package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"overland/internal/agent/node"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/volume"
)

// Gather fills p with what this machine takes of each release; nothing when nothing changes. What
// is read of a release is verified by digest, from the signed channel down. A volume is refused
// here when any of its bytes is not what was signed and sealed, whether this machine needs it or
// not: but for the programs to fetch, which fetching verifies.
func (s *Stager) Gather(ctx context.Context, src Source, p *Plan) error {
	if p.Unchanged > 0 {
		return nil
	}
	f := s.fetcherOf(src)
	blobs, err := s.resolveAll(ctx, f, src, p, false)
	if err != nil || p.Unchanged > 0 {
		return err
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
	fetched := map[digest.Digest]bool{}
	for _, b := range blobs {
		there, err := store.Has(ctx, s.depot, b.Digest)
		if err != nil {
			return err
		}
		fetched[b.Digest] = !there
	}
	return s.whole(ctx, v, *p, func(d digest.Digest) bool { return fetched[d] })
}

// Whole refuses a volume that asks for what the node runs already, when any of its bytes is not
// what was signed and sealed: its bearer is told. Other sources are asked for nothing.
func (s *Stager) Whole(ctx context.Context, src Source, p Plan) error {
	v, ok := src.(*volume.Volume)
	if !ok {
		return nil
	}
	return s.whole(ctx, v, p, nil)
}

// whole refuses v when any of its bytes, but of blobs for which except returns true, is not what
// was signed and sealed.
func (s *Stager) whole(ctx context.Context, v *volume.Volume, p Plan, except func(digest.Digest) bool) error {
	entries, refused, err := release.Current(ctx, s.trust, release.Channel(p.Settings.Channel))
	if err != nil {
		return fmt.Errorf("%s: %w", v.Name(), err)
	}
	if err := release.CheckVolume(ctx, v, entries, refused); err != nil {
		return err
	}
	return v.VerifyExcept(ctx, except, func(e progress.Event) {
		e.What = v.Name()
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
// generation. It returns its number. An application whose programs cannot be had stays as it runs:
// p then is what is left, and Unchanged when that is nothing new.
func (s *Stager) Stage(ctx context.Context, src Source, p *Plan) (int, error) {
	f := s.fetcherOf(src)
	err := f.All(ctx, p.blobs)
	if err != nil && s.perhapsSigners(ctx, src, err) && len(p.Generation.Apps) > 1 {
		p.blobs, err = s.resolveAll(ctx, f, src, p, true)
		if err == nil && p.Unchanged > 0 {
			return p.Unchanged, nil
		}
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", src.Name(), untrusted(err))
	}
	s.o.Progress(progress.Event{Step: "stage", What: strings.Join(p.Generation.Names(), " ")})
	return s.node.Stage(p.Generation, func(prog node.Program, path string) error {
		return s.depot.Place(ctx, prog.Digest, path, prog.Mode())
	})
}

// perhapsSigners reports whether err may be the fault of those who signed a release: they named a
// file that nobody has, a wrong size, or more than there is room for. A volume holds all that it
// names; one that does not was changed on the way.
func (s *Stager) perhapsSigners(ctx context.Context, src Source, err error) bool {
	if _, ok := src.(*volume.Volume); ok || ctx.Err() != nil {
		return false
	}
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, httpx.ErrAnswer) || errors.Is(err, fsx.ErrNoRoom) ||
		fsx.IsFull(err) || errs.KindOf(err) == errs.Untrusted
}

// fetcherOf returns the fetcher that src brought, or one of its own.
func (s *Stager) fetcherOf(src Source) *fetch.Fetcher {
	if f, ok := src.(interface{ Fetcher() *fetch.Fetcher }); ok {
		return f.Fetcher()
	}
	return s.Fetcher(src)
}

// resolveAll fills in every application of p, and returns the programs to fetch; with now it fetches
// them. One whose release nobody could use here stays as it runs: p is then compared again with what
// the node runs.
func (s *Stager) resolveAll(ctx context.Context, f *fetch.Fetcher, src Source, p *Plan, now bool) ([]fetch.Blob, error) {
	wanted := p.Generation.Apps
	p.Generation.Apps = nil
	blobs := map[string][]fetch.Blob{} // of each application
	var unusable *unusableError        // the last one
	resolve := func(app node.App) error {
		app = node.App{App: app.App, Version: app.Version, Release: app.Release}
		filled := app
		list, err := s.resolve(ctx, f, src, &filled)
		if err != nil && s.heal(ctx, err) {
			filled = app
			list, err = s.resolve(ctx, f, src, &filled)
		}
		if err == nil && now {
			if err = f.All(ctx, list); err != nil && s.perhapsSigners(ctx, src, err) {
				err = &unusableError{fmt.Errorf("%s: %w", src.Name(), untrusted(err))}
			}
		}
		if err == nil {
			p.Generation.Apps = append(p.Generation.Apps, filled)
			blobs[app.App] = list
		}
		return err
	}
	all := func() []fetch.Blob {
		var list []fetch.Blob
		for _, app := range p.Generation.Apps {
			list = append(list, blobs[app.App]...)
		}
		return list
	}
	instead := func(app string, why error) error { // what runs here stays, or nothing
		old := s.runs(app)
		if old != nil {
			if err := resolve(*old); err != nil {
				return err
			}
		}
		s.note(p, app, old, why)
		return nil
	}
	for _, app := range wanted {
		err := resolve(app)
		if !errors.As(err, &unusable) || len(wanted) == 1 {
			if err != nil {
				return nil, err
			}
			continue
		}
		if err := instead(app.App, err); err != nil {
			return nil, err
		}
	}
	for {
		loser, err := s.crowded(p.Generation.Apps)
		if err == nil {
			break
		}
		unusable = &unusableError{err}
		app := p.Generation.Apps[loser]
		p.Generation.Apps = slices.Delete(p.Generation.Apps, loser, loser+1)
		if err := instead(app.App, err); err != nil {
			return nil, err
		}
	}
	if unusable == nil {
		return all(), nil
	}
	p.Generation.Sort()
	if len(p.Generation.Apps) == 0 {
		return nil, unusable
	}
	var err error
	*p, err = s.compare(*p, s.node.State())
	return all(), err
}

// unusableError says that a release was signed and brought, and cannot run here, whoever brings it.
type unusableError struct{ err error }

func (e *unusableError) Error() string { return e.err.Error() }
func (e *unusableError) Unwrap() error { return e.err }

// resolve reads the release of app and fills in what this machine takes of it. It
// returns the programs to fetch.
func (s *Stager) resolve(ctx context.Context, f *fetch.Fetcher, src Source, app *node.App) ([]fetch.Blob, error) {
	name := app.App + "@" + app.Version
	if err := s.available(ctx, src, app.Release); err != nil {
		return nil, fmt.Errorf("release %s: %w", name, err)
	}
	r, err := release.Read(ctx, f, app.Release)
	var source *fetch.SourceError
	if errs.KindOf(err) == errs.Untrusted && !errors.Is(err, digest.ErrMismatch) && !errors.As(err, &source) {
		return nil, &unusableError{fmt.Errorf("%s: release %s: %w", src.Name(), name, err)}
	}
	if err != nil {
		err = fmt.Errorf("%s: release %s: %w", src.Name(), name, untrusted(err))
		if errors.Is(err, fs.ErrNotExist) && s.perhapsSigners(ctx, src, err) {
			err = &unusableError{err}
		}
		return nil, err
	}
	if r.App != app.App || r.Version != app.Version {
		return nil, &unusableError{errs.Errorf(errs.Untrusted, "%s: release %s calls itself %s@%s", src.Name(), name, r.App, r.Version)}
	}
	app.Commit, app.Services, app.Commands = r.Commit, r.Services, map[string]string{}
	mine := map[digest.Digest]bool{}
	var blobs []fetch.Blob
	for _, art := range r.For(s.o.Platform) {
		if art.Kind == release.KindImage || art.Kind == release.KindPackage { // nothing here runs one
			continue
		}
		app.Programs = append(app.Programs, node.Program{
			Artifact: art.Name, Platform: art.Platform, File: art.File, Digest: art.Blob.Digest, Size: art.Blob.Size,
			Data: art.Kind == release.KindFile,
		})
		mine[art.Manifest.Digest] = true
		s.named(art.Blob.Digest, name+" "+art.Name)
		blobs = append(blobs, fetch.Blob{Digest: art.Blob.Digest, Size: art.Blob.Size, Chunks: art.Blob.Chunks})
	}
	for name, artifact := range r.Commands {
		if slices.ContainsFunc(app.Programs, func(p node.Program) bool { return p.Artifact == artifact }) { // else it is for other machines
			app.Commands[name] = artifact
		}
	}
	if err := complete(r, app, s.o.Platform); err != nil {
		return nil, &unusableError{err}
	}
	for service, spec := range r.Services {
		if _, err := s.o.Runtimes.For(spec); err != nil {
			return nil, &unusableError{fmt.Errorf("release %s: service %s: %w", name, service, err)}
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
