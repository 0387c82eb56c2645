package stage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"overland/internal/agent/node"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/volume"
)

// Plan is what a verified source asks of this node.
type Plan struct {
	Settings   node.Settings
	Generation node.Generation // without programs until Gather fills them in
	Agent      *release.Entry  // the agent's own release, when the channel names one
	Unchanged  int             // the generation that already is this; 0 = a new one

	blobs []fetch.Blob // the programs to fetch
}

// Plan verifies what src says, from the pinned root to the channel, and returns what
// to do. It writes only to trust/.
func (s *Stager) Plan(ctx context.Context, src Source, o nodeapi.InstallOptions) (Plan, error) {
	s.mu.Lock()
	clear(s.names) // of the plan before
	s.mu.Unlock()
	st := s.node.State()
	settings, err := st.Settings.With(o)
	if err != nil {
		return Plan{}, err
	}
	s.o.Progress(progress.Event{Step: "verify", What: src.Name()})
	if err := s.pin(ctx, src, settings.Root, o.Root != ""); err != nil {
		return Plan{}, err
	}
	settings.Root = string(s.trust.Fingerprint())
	fresh, err := s.trust.Refresh(ctx, src, client.RefreshOptions{Offline: o.Offline || !live(src)})
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", src.Name(), err)
	}
	s.mu.Lock()
	s.fresh = nodeapi.Freshness{Known: fresh.Known, SignedAt: fresh.SignedAt, Expires: fresh.Expires}
	s.mu.Unlock()
	if settings.Channel == "" {
		if settings.Channel, err = onlyChannel(src); err != nil {
			return Plan{}, err
		}
	}
	entries, err := release.Current(ctx, s.trust, release.Channel(settings.Channel))
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", src.Name(), err)
	}
	p := Plan{Settings: settings, Generation: node.Generation{Schema: node.Schema, Channel: settings.Channel, Source: src.Name()}}
	for _, e := range entries {
		if e.App == release.AgentApp {
			p.Agent = &e
			continue
		}
		p.Generation.Apps = append(p.Generation.Apps, node.App{App: e.App, Version: e.Version, Release: e.Digest})
	}
	if len(entries) == 0 {
		return Plan{}, errs.Hint(errs.Errorf(errs.NotFound, "%s: channel %s names no release", src.Name(), settings.Channel),
			"overland promote APP@VERSION --to %s", settings.Channel)
	}
	return s.compare(p, st, o)
}

// compare finds out whether p is what the node runs already or what it refused.
func (s *Stager) compare(p Plan, st node.State, o nodeapi.InstallOptions) (Plan, error) {
	if len(p.Generation.Apps) == 0 && st.Current == 0 && st.Intent == nil {
		return p, errs.Errorf(errs.NotFound, "%s: channel %s names no application", p.Generation.Source, p.Generation.Channel)
	}
	content := p.Generation.Content()
	number := st.Current
	if st.Intent != nil {
		number = st.Intent.Generation
	}
	if number > 0 {
		if g, err := s.node.Generation(number); err == nil && g.Content() == content {
			p.Unchanged, p.Generation = number, *g
			return p, nil
		}
	}
	bad, refused := st.Refused(content)
	switch {
	case refused && !o.Retry:
		return p, errs.Hint(errs.Errorf(errs.Conflict, "%s: %s was tried here as generation %d and refused: %s",
			p.Generation.Source, strings.Join(p.Generation.Names(), ", "), bad.Generation, bad.Reason),
			"install something newer, or the same again with --retry")
	case refused:
		return p, s.node.Forgive(content)
	}
	return p, nil
}

// pin makes the root with fingerprint root the node's, when it has none; one
// that has another root refuses.
func (s *Stager) pin(ctx context.Context, src Source, root string, asked bool) error {
	if s.trust.Pinned() && !asked {
		return nil
	}
	if root == "" {
		return errs.Hint(errs.Errorf(errs.Untrusted, "%s: %w", src.Name(), trust.ErrNotPinned),
			"compare the fingerprint that `overland trust show` prints and pass it: --root FINGERPRINT")
	}
	fp, err := trust.ParseFingerprint(root)
	if err != nil {
		return errs.E(errs.Invalid, err)
	}
	if err := s.trust.Pin(ctx, src, fp); err != nil {
		return fmt.Errorf("%s: %w", src.Name(), err)
	}
	return nil
}

// Gather fills p with what this machine takes of each release; nothing when nothing changes. What
// is read of a release is verified by digest, from the signed channel down. A volume is refused
// here when any of its bytes is not what was signed and sealed, whether this machine needs it or
// not: but for the programs to fetch, which fetching verifies.
func (s *Stager) Gather(ctx context.Context, src Source, p *Plan) error {
	if p.Unchanged > 0 {
		return nil
	}
	f := s.fetcherOf(src)
	var blobs []fetch.Blob
	for i := range p.Generation.Apps {
		app := p.Generation.Apps[i]
		list, err := s.resolve(ctx, f, src, &app)
		if err != nil && s.heal(ctx, err) {
			app = p.Generation.Apps[i]
			list, err = s.resolve(ctx, f, src, &app)
		}
		if err != nil {
			return err
		}
		p.Generation.Apps[i] = app
		blobs = append(blobs, list...)
	}
	p.blobs = blobs
	for _, b := range blobs {
		if err := s.available(ctx, src, b.Digest); err != nil {
			return err
		}
	}
	if events := s.node.State().Events; len(s.node.Damage()) > 0 || (len(events) > 0 && events[len(events)-1].What == "recovered") {
		if err := s.distrust(ctx, blobs); err != nil {
			return err
		}
	}
	v, ok := src.(*volume.Volume)
	if !ok {
		return nil
	}
	entries, err := release.Current(ctx, s.trust, release.Channel(p.Settings.Channel))
	if err != nil {
		return fmt.Errorf("%s: %w", src.Name(), err)
	}
	if err := release.CheckVolume(ctx, v, entries); err != nil {
		return err
	}
	fetched := map[digest.Digest]bool{}
	for _, b := range blobs {
		there, err := store.Has(ctx, s.depot, b.Digest)
		if err != nil {
			return err
		}
		fetched[b.Digest] = !there
	}
	return v.VerifyExcept(ctx, func(d digest.Digest) bool { return fetched[d] }, func(e progress.Event) {
		e.What = src.Name()
		s.o.Progress(e)
	})
}

// available returns an error when neither the depot nor src has blob d.
func (s *Stager) available(ctx context.Context, src Source, d digest.Digest) error {
	lacks := holds(src, d)
	if lacks == nil {
		return nil
	}
	if there, err := store.Has(ctx, s.depot, d); err != nil || there {
		return err
	}
	return lacks
}

// Stage brings the programs of p, which Gather filled in, into the depot and writes the
// generation. It returns its number.
func (s *Stager) Stage(ctx context.Context, src Source, p Plan) (int, error) {
	f := s.fetcherOf(src)
	if err := f.All(ctx, p.blobs); err != nil {
		return 0, fmt.Errorf("%s: %w", src.Name(), untrusted(err))
	}
	s.o.Progress(progress.Event{Step: "stage", What: strings.Join(p.Generation.Names(), " ")})
	return s.node.Stage(p.Generation, func(prog node.Program, path string) error {
		return s.depot.Place(ctx, prog.Digest, path, prog.Mode())
	})
}

// fetcherOf returns the fetcher that src brought, or one of its own.
func (s *Stager) fetcherOf(src Source) *fetch.Fetcher {
	if f, ok := src.(interface{ Fetcher() *fetch.Fetcher }); ok {
		return f.Fetcher()
	}
	return s.Fetcher(src)
}

// resolve reads the release of app and fills in what this machine takes of it. It
// returns the programs to fetch.
func (s *Stager) resolve(ctx context.Context, f *fetch.Fetcher, src Source, app *node.App) ([]fetch.Blob, error) {
	name := app.App + "@" + app.Version
	if err := s.available(ctx, src, app.Release); err != nil {
		return nil, fmt.Errorf("release %s: %w", name, err)
	}
	r, err := release.Read(ctx, f, app.Release)
	if err != nil {
		return nil, fmt.Errorf("%s: release %s: %w", src.Name(), name, untrusted(err))
	}
	if r.App != app.App || r.Version != app.Version {
		return nil, errs.Errorf(errs.Untrusted, "%s: release %s calls itself %s@%s", src.Name(), name, r.App, r.Version)
	}
	app.Commit, app.Services = r.Commit, r.Services
	mine := map[digest.Digest]bool{}
	var blobs []fetch.Blob
	for _, art := range r.For(s.o.Platform) {
		app.Programs = append(app.Programs, node.Program{
			Artifact: art.Name, Platform: art.Platform, File: art.File, Digest: art.Blob.Digest, Size: art.Blob.Size,
			Data: art.Kind == release.KindFile,
		})
		mine[art.Manifest.Digest] = true
		s.named(art.Blob.Digest, name+" "+art.Name)
		blobs = append(blobs, fetch.Blob{Digest: art.Blob.Digest, Size: art.Blob.Size, Chunks: art.Blob.Chunks})
	}
	if err := complete(r, app, s.o.Platform); err != nil {
		return nil, err
	}
	for service, spec := range r.Services {
		if _, err := s.o.Runtimes.For(spec); err != nil {
			return nil, fmt.Errorf("release %s: service %s: %w", name, service, err)
		}
	}
	closure, err := release.Closure(ctx, f, app.Release, func(art release.Artifact) bool { return mine[art.Manifest.Digest] })
	if err != nil {
		return nil, fmt.Errorf("%s: release %s: %w", src.Name(), name, untrusted(err))
	}
	for _, d := range closure {
		app.Blobs = append(app.Blobs, d.Digest)
	}
	return blobs, nil
}

// complete refuses a release that has nothing, or not all that its services need, for platform p.
func complete(r *release.Release, app *node.App, p platform.Platform) error {
	have := map[string]bool{}
	for _, prog := range app.Programs {
		have[prog.Artifact] = true
	}
	missing := "artifact"
	if len(app.Programs) > 0 {
		missing = ""
		for name, s := range app.Services {
			if !have[s.Artifact] {
				missing = fmt.Sprintf("artifact %s, which service %s runs,", s.Artifact, name)
			}
		}
	}
	if missing == "" {
		return nil
	}
	var platforms []string
	for _, q := range r.Platforms() {
		platforms = append(platforms, string(q))
	}
	return errs.Hint(errs.Errorf(errs.NotFound, "release %s@%s has no %s for %s; built for: %s",
		r.App, r.Version, missing, p, strings.Join(platforms, ", ")),
		"add %s to the artifact's platforms and release again", p)
}

// heal drops every damaged blob of the depot when err says that one is and no source is to blame.
// It reports whether it dropped any: then it is worth trying again.
func (s *Stager) heal(ctx context.Context, err error) bool {
	var blamed *fetch.SourceError
	if !errors.Is(err, digest.ErrMismatch) || errors.As(err, &blamed) {
		return false
	}
	var blobs []fetch.Blob
	if err := s.depot.List(ctx, func(d digest.Digest, size int64) error {
		blobs = append(blobs, fetch.Blob{Digest: d, Size: size})
		return nil
	}); err != nil {
		return false
	}
	s.node.Problem("depot", "a blob in the depot was damaged; it is fetched again")
	return s.distrust(ctx, blobs) == nil
}

// distrust drops blobs from the depot whose bytes are damaged: after damage was found in a
// generation, whose programs share their bytes with the depot.
func (s *Stager) distrust(ctx context.Context, blobs []fetch.Blob) error {
	for _, b := range blobs {
		there, err := store.Has(ctx, s.depot, b.Digest)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if err := store.Verify(ctx, s.depot, b.Digest); err != nil && ctx.Err() == nil {
			if err := s.depot.Remove(ctx, b.Digest); err != nil {
				return fmt.Errorf("drop damaged blob %s: %w", b.Digest, err)
			}
		}
	}
	return ctx.Err()
}

// holds refuses a source that claims to be complete and does not have blob d: a volume whose
// payload was replaced has other blobs than the ones that were signed.
func holds(src Source, d digest.Digest) error {
	v, ok := src.(interface{ Has(digest.Digest) bool })
	if !ok || v.Has(d) {
		return nil
	}
	return errs.Hint(errs.Errorf(errs.Untrusted, "%s: does not hold %s, which its signed metadata names: it was changed, or a part is missing", src.Name(), d),
		"get the volume again from the one who sealed it")
}

// untrusted gives content that is not what was signed its kind.
func untrusted(err error) error {
	if errors.Is(err, digest.ErrMismatch) && errs.KindOf(err) != errs.Untrusted {
		return errs.E(errs.Untrusted, err)
	}
	return err
}
