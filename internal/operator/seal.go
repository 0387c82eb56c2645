package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/trust"
	"overland/internal/trust/repository"
	"overland/internal/volume"
)

// SealOptions say what goes into a volume.
type SealOptions struct {
	Channel   release.Channel // "" = build and release Source, promote it to release.Local, seal that
	Source    SourceOptions   // used when Channel is ""
	Out       string
	Platforms []platform.Platform // empty = all that every application and the agent have
	Apps      []string            // whose programs go in, for nodes that have the others; empty = all
	Split     int64               // bytes per part; 0 = one file
	Inputs    bool                // what the releases were built from goes in too
}

// Sealed is a volume that was written.
type Sealed struct {
	volume.Info
	Channel     release.Channel
	Entries     []release.Entry // of the channel, whose programs are in the volume
	Platforms   []platform.Platform
	Inputs      []SealedInputs // with SealOptions.Inputs: of the releases that have them
	Fingerprint trust.Fingerprint
	Released    *Released // of the short path; else nil
	NewKeys     bool      // keys and metadata were made by this
	NewAgent    bool      // the channel runs a new agent from now on
	Renewed     bool      // metadata was close to its expiry and is signed anew
	Warnings    []string
}

// SealedInputs is what one release in a volume was built from.
type SealedInputs struct {
	Release string `json:"release"` // "wallet@r412.…"
	nodeapi.Inputs
}

// Seal writes what channel o.Channel runs, with all that an installation needs, into one file. The
// same state gives the same bytes.
func (p *Operator) Seal(ctx context.Context, o SealOptions) (*Sealed, error) {
	if o.Out == "" {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "where should the volume be written?"), "-o FILE")
	}
	if err := writable(o.Out); err != nil {
		return nil, err
	}
	if o.Split != 0 && o.Split < volume.MinPart {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "parts of %s: at least %s", progress.Bytes(o.Split), progress.Bytes(volume.MinPart)), "--split 650MiB")
	}
	s := &Sealed{Channel: o.Channel}
	w := &sealing{Operator: p, o: o, s: s}
	if err := w.prepare(ctx); err != nil {
		return nil, err
	}
	if err := w.checkWanted(ctx); err != nil {
		return nil, err
	}
	if err := w.addAgent(ctx); err != nil {
		return nil, fmt.Errorf("the agent for the volume: %w", err)
	}
	if err := w.renew(ctx); err != nil {
		return nil, err
	}
	content, err := w.content(ctx)
	if err != nil {
		return nil, err
	}
	s.Info, err = volume.Seal(ctx, o.Out, content, volume.Options{Split: o.Split, FS: p.o.FS, Progress: p.say.Progress})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// writable refuses a place where no file can be written, before minutes go into what it would hold.
func writable(file string) error {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return errs.Hint(errs.Errorf(errs.Invalid, "%s is a folder", file), "name the file: -o %s", filepath.Join(file, "app.volume"))
	}
	dir := filepath.Dir(file)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return errs.Hint(errs.Errorf(errs.NotFound, "there is no folder %s to write %s to", dir, filepath.Base(file)), "mkdir -p %s", dir)
	}
	return nil
}

// sealing is one Seal under way.
type sealing struct {
	*Operator
	o    SealOptions
	s    *Sealed
	repo *repository.Repository
}

// signed returns what the metadata says now, and what the channel runs.
func (w *sealing) signed(ctx context.Context) (*repository.State, []release.Entry, error) {
	now, err := w.repo.Read(ctx)
	if err != nil {
		return nil, nil, err
	}
	entries, err := runs(now, w.s.Channel)
	return now, entries, err
}

// prepare opens the metadata and makes sure that the channel runs something: along the short path
// when no channel was asked for.
func (w *sealing) prepare(ctx context.Context) (err error) {
	if w.o.Channel != "" {
		if w.repo, err = w.Repository(ctx); err != nil {
			return err
		}
		_, _, err = w.signed(ctx)
		return err
	}
	// The source is looked at first: without one there is no reason to make keys.
	src, err := LoadSource(ctx, w.o.Source)
	if err != nil {
		return err
	}
	if w.o.Inputs {
		if err := w.checkInputs(ctx, src, w.o.Apps); err != nil {
			return err
		}
	}
	w.s.Warnings = append(w.s.Warnings, src.Warnings...)
	if w.repo, w.s.NewKeys, err = w.ensureTrust(ctx); err != nil {
		return err
	}
	w.s.Channel = release.Local
	if w.s.Released, err = w.release(ctx, w.repo, src); err != nil {
		return err
	}
	_, err = release.Promote(ctx, w.repo, w.s.Released.Ref, release.Local)
	return err
}

// checkWanted refuses platforms, applications and inputs that the channel cannot
// give, before anything is signed.
func (w *sealing) checkWanted(ctx context.Context) error {
	_, entries, err := w.signed(ctx)
	if err != nil {
		return err
	}
	wanted, err := appFilter(w.o.Apps, w.s.Channel, entries)
	if err != nil {
		return err
	}
	var releases []*release.Release
	for _, e := range entries {
		if e.App == release.AgentApp || !wanted(e.App) {
			continue
		}
		r, err := release.Read(ctx, w.depot, e.Digest)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Ref(), err)
		}
		releases = append(releases, r)
	}
	if w.o.Inputs {
		if _, err := sealInputs(ctx, w.depot, releases, &Sealed{}); err != nil {
			return err
		}
	}
	return choosePlatforms(releases, w.o.Platforms, &Sealed{Channel: w.s.Channel})
}

// addAgent gives the channel this machine's agent. Where that needs somebody else's signature, the
// agent that the channel has goes into the volume, with a warning.
func (w *sealing) addAgent(ctx context.Context) error {
	promoted, err := w.promoteAgent(ctx)
	w.s.NewAgent = promoted
	if k := errs.KindOf(err); err == nil || (k != errs.Partial && k != errs.Denied && k != errs.Conflict) {
		return err
	}
	if !w.hasAgent(ctx) {
		return err
	}
	w.s.Warnings = append(w.s.Warnings, fmt.Sprintf("the channel's older agent is sealed: %v", err))
	return nil
}

// renew signs again what expires soon. What needs a key that is not here is a warning while it is
// valid; an expired statement that nodes would refuse is an error of kind Untrusted.
func (w *sealing) renew(ctx context.Context) error {
	before, err := w.timestamp(ctx)
	if err != nil {
		return err
	}
	switch err := w.repo.Refresh(ctx); {
	case errs.KindOf(err) == errs.Partial:
		w.s.Warnings = append(w.s.Warnings, err.Error())
	case err != nil:
		return err
	}
	after, err := w.timestamp(ctx)
	if err != nil {
		return err
	}
	w.s.Renewed = !bytes.Equal(before, after)
	return w.refuseExpired(ctx)
}

func (w *sealing) timestamp(ctx context.Context) ([]byte, error) {
	return w.repo.Metadata(ctx, trust.WireName("timestamp", 0), trust.MaxTimestamp)
}

// refuseExpired returns an error when what leads from the root to a release of
// the channel is past its expiry.
func (w *sealing) refuseExpired(ctx context.Context) error {
	signed, entries, err := w.signed(ctx)
	if err != nil {
		return err
	}
	chain := []string{"root", "targets", "snapshot", "timestamp", w.s.Channel.Role()}
	for _, e := range entries {
		chain = append(chain, release.Role(e.App))
	}
	info, err := signed.Show(nil)
	if err != nil {
		return err
	}
	now := w.Operator.o.Clock.Or()()
	for _, r := range info.Roles {
		if slices.Contains(chain, r.Role) && r.Expires.Before(now) {
			return errs.Hint(errs.Errorf(errs.Untrusted, "the signed statement of %s expired at %s", r.Role, r.Expires.Format(time.RFC3339)),
				"overland trust refresh, where the keys of %s are", r.Role)
		}
	}
	return nil
}

// content collects what goes into the volume, and fills s.
func (w *sealing) content(ctx context.Context) (volume.Content, error) {
	o, s := w.o, w.s
	c := volume.Content{Open: func(d digest.Digest) (io.ReadCloser, error) { return w.depot.Open(ctx, d) }}
	now, entries, err := w.signed(ctx)
	if err != nil {
		return c, err
	}
	wanted, err := appFilter(o.Apps, s.Channel, entries)
	if err != nil {
		return c, err
	}
	releases := make([]*release.Release, len(entries))
	var chosen []*release.Release
	for i, e := range entries {
		if releases[i], err = release.Read(ctx, w.depot, e.Digest); err != nil {
			return c, fmt.Errorf("%s: %w", e.Ref(), err)
		}
		if wanted(e.App) {
			chosen = append(chosen, releases[i])
			s.Entries = append(s.Entries, e)
		}
	}
	if err := choosePlatforms(chosen, o.Platforms, s); err != nil {
		return c, err
	}
	if o.Inputs {
		list, err := sealInputs(ctx, w.depot, chosen, s)
		if err != nil {
			return c, err
		}
		c.Blobs = append(c.Blobs, list...)
	}
	var roots []ocispec.Descriptor
	for i, e := range entries {
		// Index and document go in even without programs: what the channel runs
		// can be read from every volume.
		keep := func(release.Artifact) bool { return false }
		if wanted(e.App) {
			keep = keepFor(releases[i], s.Platforms)
		}
		list, err := release.Closure(ctx, w.depot, e.Digest, keep)
		if err != nil {
			return c, err
		}
		c.Blobs = append(c.Blobs, list...)
		root := list[0]
		root.Annotations = map[string]string{
			ocispec.AnnotationRefName: e.Ref().String(), release.AnnotationChannel: string(s.Channel),
		}
		roots = append(roots, root)
		if e.App == release.AgentApp {
			c.Agents = agentsOf(releases[i], s.Platforms)
		}
	}
	if c.Index, err = store.MarshalIndex(roots); err != nil {
		return c, err
	}
	s.Fingerprint = now.Fingerprint()
	c.Trust, err = metadata(ctx, now, s.Channel)
	return c, err
}

// appFilter reports whose programs go into the volume. An app the channel does not run is an error.
func appFilter(apps []string, ch release.Channel, entries []release.Entry) (func(app string) bool, error) {
	var names []string
	for _, e := range entries {
		names = append(names, e.App)
	}
	for _, app := range apps {
		if !slices.Contains(names, app) {
			return nil, errs.Hint(errs.Errorf(errs.NotFound, "channel %s runs no %q", ch, app), "it runs %s", strings.Join(names, ", "))
		}
	}
	return func(app string) bool {
		return len(apps) == 0 || app == release.AgentApp || slices.Contains(apps, app)
	}, nil
}

// choosePlatforms sets s.Platforms: what was asked for, which every release must serve, or else all
// that every release serves, with a warning for each platform that only some do.
func choosePlatforms(releases []*release.Release, asked []platform.Platform, s *Sealed) error {
	for _, plat := range platform.All() {
		if len(asked) > 0 && !slices.Contains(asked, plat) {
			continue
		}
		var without []string
		for _, r := range releases {
			if !serves(r, plat) {
				without = append(without, r.Ref().String())
			}
		}
		switch {
		case len(without) == 0:
			s.Platforms = append(s.Platforms, plat)
		case len(asked) > 0:
			return errs.Hint(errs.Errorf(errs.Invalid, "%s: nothing for %s", strings.Join(without, ", "), plat),
				"overland inspect shows the platforms of a release")
		case len(without) < len(releases):
			s.Warnings = append(s.Warnings, fmt.Sprintf("%s is left out: nothing for it in %s", plat, strings.Join(without, ", ")))
		}
	}
	if len(s.Platforms) == 0 {
		return errs.Hint(errs.Errorf(errs.Invalid, "channel %s: no platform that the agent and every application have", s.Channel),
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

// keepFor returns the filter for those artifacts of r that machines of the platforms run.
func keepFor(r *release.Release, platforms []platform.Platform) func(release.Artifact) bool {
	keep := make(map[digest.Digest]bool)
	for _, plat := range platforms {
		for _, a := range r.For(plat) {
			keep[a.Manifest.Digest] = true
		}
	}
	return func(a release.Artifact) bool { return keep[a.Manifest.Digest] }
}

// agentsOf returns the agent programs by the platform that starts them.
func agentsOf(r *release.Release, platforms []platform.Platform) []volume.Agent {
	var list []volume.Agent
	for _, plat := range platforms {
		for _, a := range r.For(plat) {
			list = append(list, volume.Agent{Platform: plat, Digest: a.Blob.Digest, Size: a.Blob.Size})
		}
	}
	return list
}

// metadata returns the files that a client of channel ch needs. Other channels stay out: a node
// that is told no channel takes the only one there is.
func metadata(ctx context.Context, now *repository.State, ch release.Channel) (_ map[string][]byte, err error) {
	names := now.Names()
	files := make(map[string][]byte, len(names))
	for _, name := range names {
		if other := release.MetadataChannel(name); other != "" && other != ch {
			continue
		}
		if files[name], err = now.Metadata(ctx, name, trust.MaxTargets); err != nil {
			return nil, err
		}
	}
	return files, nil
}
