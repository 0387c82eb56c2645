package sealing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

// Options say what of a channel goes into a volume.
type Options struct {
	Channel   release.Channel
	Platforms []platform.Platform // empty = all that every application and the agent have
	Apps      []string            // whose programs go in, for nodes that have the others; empty = all
	Inputs    bool                // what the releases were built from goes in too
	At        time.Time           // nodes are to believe what goes in at this moment; zero = whenever
	NoAgent   bool                // the channel's agent does not count: it is about to be another one
}

// Choice is what goes into one volume.
type Choice struct {
	Entries   []release.Entry // of the channel, whose programs go in
	Platforms []platform.Platform
	Inputs    []Inputs // with Options.Inputs: of the releases that have them
	Warnings  []string

	o     Options
	now   *repository.State
	depot store.Store
	all   []chosen
	extra []ocispec.Descriptor // the inputs' blobs
}

// chosen is a release that the channel runs.
type chosen struct {
	release.Entry
	*release.Release
	wanted bool // its programs go in
}

// Choose returns what of channel o.Channel goes into a volume, by what now says. A channel that is
// not there is an error of kind NotFound; one of whose applications nodes would believe none, an
// error of kind Untrusted.
func Choose(ctx context.Context, depot store.Store, now *repository.State, o Options) (*Choice, error) {
	c := &Choice{o: o, now: now, depot: depot}
	entries, refused, err := release.Judge(now, o.Channel, o.At)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if o.NoAgent && e.App == release.AgentApp {
			continue
		}
		r, err := release.Read(ctx, depot, e.Digest)
		if errs.KindOf(err) == errs.Untrusted {
			refused = append(refused, release.Refused{Entry: e, Err: err})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Ref(), err)
		}
		c.all = append(c.all, chosen{Entry: e, Release: r})
	}
	if err := c.want(refused); err != nil {
		return nil, err
	}
	if err := c.choosePlatforms(); err != nil {
		return nil, err
	}
	return c, c.addInputs(ctx)
}

// want decides whose programs go in. refused are the applications that nodes would not believe.
func (c *Choice) want(refused []release.Refused) error {
	var names []string
	apps := 0
	for _, e := range c.all {
		names = append(names, e.Entry.App)
		if e.Entry.App != release.AgentApp {
			apps++
		}
	}
	for _, r := range refused {
		hint := "overland channel show " + string(c.o.Channel)
		if apps == 0 || slices.Contains(c.o.Apps, r.App) {
			return errs.Hint(r.Err, "%s", hint)
		}
		c.Warnings = append(c.Warnings, fmt.Sprintf("%.100s is left out, and nodes keep what they run of it: %v", r.App, r.Err))
	}
	for _, app := range c.o.Apps {
		if !slices.Contains(names, app) {
			return errs.Hint(errs.Errorf(errs.NotFound, "channel %s runs no %q", c.o.Channel, app), "it runs %s", strings.Join(names, ", "))
		}
	}
	for i := range c.all {
		e := &c.all[i]
		e.wanted = len(c.o.Apps) == 0 || e.Entry.App == release.AgentApp || slices.Contains(c.o.Apps, e.Entry.App)
		if e.wanted {
			c.Entries = append(c.Entries, e.Entry)
		}
	}
	return nil
}

// Root returns the fingerprint of the root that all that goes in is signed below.
func (c *Choice) Root() trust.Fingerprint { return c.now.Fingerprint() }

// choosePlatforms sets c.Platforms: what was asked for, which every release must serve, or else all
// that every release serves, with a warning for each platform that only some do.
func (c *Choice) choosePlatforms() error {
	for _, plat := range platform.All() {
		if len(c.o.Platforms) > 0 && !slices.Contains(c.o.Platforms, plat) {
			continue
		}
		var without []string
		releases := 0
		for _, e := range c.all {
			if !e.wanted {
				continue
			}
			releases++
			if !serves(e.Release, plat) {
				without = append(without, e.Entry.Ref().String())
			}
		}
		switch {
		case len(without) == 0:
			c.Platforms = append(c.Platforms, plat)
		case len(c.o.Platforms) > 0:
			return errs.Hint(errs.Errorf(errs.Invalid, "%s: nothing for %s", strings.Join(without, ", "), plat),
				"overland inspect shows the platforms of a release")
		case len(without) < releases:
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s is left out: nothing for it in %s", plat, strings.Join(without, ", ")))
		}
	}
	if len(c.Platforms) == 0 {
		return errs.Hint(errs.Errorf(errs.Invalid, "channel %s: no platform that the agent and every application have", c.o.Channel),
			"overland inspect shows the platforms of a release")
	}
	return nil
}

// serves reports whether a machine of platform plat can run every service of r.
func serves(r *release.Release, plat platform.Platform) bool {
	have := r.For(plat)
	for _, service := range r.Services {
		if !slices.ContainsFunc(have, func(a release.Artifact) bool { return a.Name == service.Artifact }) {
			return false
		}
	}
	return len(have) > 0
}
