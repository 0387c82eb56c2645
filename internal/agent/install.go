package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"overland/internal/agent/node"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/volume"
)

// Install makes the node run what src says of its channel. A generation that does not prove itself is rolled back:
// Report says why and the error is of kind errs.Partial. Nothing is written outside depot/ and trust/ before everything
// is verified. Installing again what runs changes nothing.
func (a *Agent) Install(ctx context.Context, src Source, o nodeapi.InstallOptions) (nodeapi.Report, error) {
	a.interrupt()
	done, err := a.take(ctx)
	if err != nil {
		return nodeapi.Report{}, err
	}
	defer done()
	r, err := a.install(ctx, ctx, src, o)
	return r, fsx.Full(err)
}

// install is Install for a caller who has the turn. Until the switch begins, the end of staging ends it; afterwards
// only the end of ctx does.
func (a *Agent) install(ctx, staging context.Context, src Source, o nodeapi.InstallOptions) (nodeapi.Report, error) {
	a.mu.Lock()
	clear(a.names) // of the installation before
	a.mu.Unlock()
	if !o.Defer {
		if err := a.resume(ctx); err != nil {
			return nodeapi.Report{}, err
		}
	}
	p, err := a.plan(staging, src, o)
	if err != nil {
		return nodeapi.Report{}, err
	}
	blobs, gatherErr := a.gather(staging, src, &p)
	if errs.KindOf(gatherErr) == errs.Untrusted {
		return nodeapi.Report{}, gatherErr
	}
	// A release that this agent cannot read may be one that the next agent can.
	if err := a.stageAgent(staging, src, p.agent); err != nil {
		if staging.Err() != nil {
			return nodeapi.Report{}, err
		}
		a.problem("agent", err.Error())
		a.o.Log.Warn("the agent program was not fetched", keyError, err)
	}
	if p.unchanged > 0 {
		if err := a.saveSettings(p.settings); err != nil {
			return nodeapi.Report{}, err
		}
		outcome := nodeapi.Unchanged
		if i := a.node.State().Intent; i != nil && i.Generation == p.unchanged {
			outcome = nodeapi.Staged
		}
		return a.fill(nodeapi.Report{Outcome: outcome, Generation: p.unchanged, Tried: p.unchanged}, &p.generation), nil
	}
	if gatherErr != nil {
		return nodeapi.Report{}, gatherErr
	}
	number, err := a.stage(staging, src, p, blobs)
	if err != nil {
		return nodeapi.Report{}, err
	}
	if err := a.saveSettings(p.settings); err != nil {
		return nodeapi.Report{}, err
	}
	if i := a.node.State().Intent; i != nil {
		if err := a.node.Abandon(fmt.Sprintf("generation %d was asked for before it started", number)); err != nil {
			return nodeapi.Report{}, errs.Hint(err, "start the agent; it decides the switch in progress")
		}
	}
	from := a.node.State().Current
	if err := a.node.Begin(number, limit(&p.generation), "install"); err != nil {
		return nodeapi.Report{}, err
	}
	if o.Defer {
		return a.fill(nodeapi.Report{Outcome: nodeapi.Staged, Generation: number, Tried: number, From: from}, &p.generation), nil
	}
	return a.settle(ctx)
}

// plan is what a verified source asks of this node.
type plan struct {
	settings   node.Settings
	generation node.Generation // without programs until stage fills them in
	agent      *release.Entry  // the agent's own release, when the channel names one
	unchanged  int             // the generation that already is this; 0 = a new one
}

// plan verifies what src says, from the pinned root to the channel, and returns what to do. It writes only to trust/.
func (a *Agent) plan(ctx context.Context, src Source, o nodeapi.InstallOptions) (plan, error) {
	st := a.node.State()
	settings, err := merge(st.Settings, o)
	if err != nil {
		return plan{}, err
	}
	a.progress(nodeapi.Progress{Step: "verify", What: src.Name()})
	if err := a.pin(ctx, src, settings.Root, o.Root != ""); err != nil {
		return plan{}, err
	}
	settings.Root = string(a.trust.Fingerprint())
	fresh, err := a.trust.Refresh(ctx, src, client.RefreshOptions{Offline: o.Offline || !live(src)})
	if err != nil {
		return plan{}, fmt.Errorf("%s: %w", src.Name(), err)
	}
	a.mu.Lock()
	a.fresh = nodeapi.Freshness{Known: fresh.Known, SignedAt: fresh.SignedAt, Expires: fresh.Expires}
	a.mu.Unlock()
	if settings.Channel == "" {
		if settings.Channel, err = onlyChannel(src); err != nil {
			return plan{}, err
		}
	}
	entries, err := release.Current(ctx, a.trust, release.Channel(settings.Channel))
	if err != nil {
		return plan{}, fmt.Errorf("%s: %w", src.Name(), err)
	}
	p := plan{settings: settings, generation: node.Generation{Schema: node.Schema, Channel: settings.Channel, Source: src.Name()}}
	for _, e := range entries {
		if e.App == release.AgentApp {
			p.agent = &e
			continue
		}
		p.generation.Apps = append(p.generation.Apps, node.App{App: e.App, Version: e.Version, Release: e.Digest})
	}
	if len(entries) == 0 {
		return plan{}, errs.Hint(errs.Errorf(errs.NotFound, "%s: channel %s names no release", src.Name(), settings.Channel),
			"overland promote APP@VERSION --to %s", settings.Channel)
	}
	return a.compare(p, st, o)
}

// compare finds out whether p is what the node runs already or what it refused.
func (a *Agent) compare(p plan, st node.State, o nodeapi.InstallOptions) (plan, error) {
	if len(p.generation.Apps) == 0 && st.Current == 0 && st.Intent == nil {
		return p, errs.Errorf(errs.NotFound, "%s: channel %s names no application", p.generation.Source, p.generation.Channel)
	}
	content := p.generation.Content()
	number := st.Current
	if st.Intent != nil {
		number = st.Intent.Generation
	}
	if number > 0 {
		if g, err := a.node.Generation(number); err == nil && g.Content() == content {
			p.unchanged, p.generation = number, *g
			return p, nil
		}
	}
	bad, refused := st.Refused(content)
	switch {
	case refused && !o.Retry:
		return p, errs.Hint(errs.Errorf(errs.Conflict, "%s: %s was tried here as generation %d and refused: %s",
			p.generation.Source, strings.Join(p.generation.Names(), ", "), bad.Generation, bad.Reason),
			"install something newer, or the same again with --retry")
	case refused:
		return p, a.node.Forgive(content)
	}
	return p, nil
}

// pin makes the root with fingerprint root the node's, when it has none; one that has another root refuses.
func (a *Agent) pin(ctx context.Context, src Source, root string, asked bool) error {
	if a.trust.Pinned() && !asked {
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
	if err := a.trust.Pin(ctx, src, fp); err != nil {
		return fmt.Errorf("%s: %w", src.Name(), err)
	}
	return nil
}

// gather fills p with what this machine takes of each release and returns the programs to fetch, nil when nothing
// changes. What is read of a release is verified by digest, from the signed channel down. A volume is refused here when
// any of its bytes is not what was signed and sealed, whether this machine needs it or not: but for the programs to
// fetch, which fetching judges.
func (a *Agent) gather(ctx context.Context, src Source, p *plan) ([]fetch.Blob, error) {
	if p.unchanged > 0 {
		return nil, nil
	}
	f := a.fetcherOf(src)
	var blobs []fetch.Blob
	for i := range p.generation.Apps {
		app := p.generation.Apps[i]
		list, err := a.resolve(ctx, f, src, &app)
		if err != nil && a.heal(ctx, err) {
			app = p.generation.Apps[i]
			list, err = a.resolve(ctx, f, src, &app)
		}
		if err != nil {
			return nil, err
		}
		p.generation.Apps[i] = app
		blobs = append(blobs, list...)
	}
	for _, b := range blobs {
		if err := a.available(ctx, src, b.Digest); err != nil {
			return nil, err
		}
	}
	if events := a.node.State().Events; len(a.node.Problems()) > 0 || (len(events) > 0 && events[len(events)-1].What == "recovered") {
		if err := a.distrust(ctx, blobs); err != nil {
			return nil, err
		}
	}
	v, ok := src.(*volume.Volume)
	if !ok {
		return blobs, nil
	}
	entries, err := release.Current(ctx, a.trust, release.Channel(p.settings.Channel))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", src.Name(), err)
	}
	if err := release.CheckVolume(ctx, v, entries); err != nil {
		return nil, err
	}
	fetched := map[digest.Digest]bool{}
	for _, b := range blobs {
		there, err := store.Has(ctx, a.depot, b.Digest)
		if err != nil {
			return nil, err
		}
		fetched[b.Digest] = !there
	}
	return blobs, v.VerifyExcept(ctx, func(d digest.Digest) bool { return fetched[d] }, func(e progress.Event) {
		e.What = src.Name()
		a.progress(e)
	})
}

// available returns an error when neither the depot nor src has blob d.
func (a *Agent) available(ctx context.Context, src Source, d digest.Digest) error {
	lacks := holds(src, d)
	if lacks == nil {
		return nil
	}
	if there, err := store.Has(ctx, a.depot, d); err != nil || there {
		return err
	}
	return lacks
}

// stage brings blobs, which are p's, into the depot and writes the generation.
func (a *Agent) stage(ctx context.Context, src Source, p plan, blobs []fetch.Blob) (int, error) {
	f := a.fetcherOf(src)
	if err := f.All(ctx, blobs); err != nil {
		return 0, fmt.Errorf("%s: %w", src.Name(), untrusted(err))
	}
	a.progress(nodeapi.Progress{Step: "stage", What: strings.Join(p.generation.Names(), " ")})
	return a.node.Stage(p.generation, func(prog node.Program, path string) error {
		return a.depot.Place(ctx, prog.Digest, path, prog.Mode())
	})
}

// fetcherOf returns the fetcher that src brought, or one of its own.
func (a *Agent) fetcherOf(src Source) *fetch.Fetcher {
	if f, ok := src.(*feed); ok {
		return f.fetcher
	}
	return a.fetcher(src)
}

// resolve reads the release of app and fills in what this machine takes of it. It returns the programs to fetch.
func (a *Agent) resolve(ctx context.Context, f *fetch.Fetcher, src Source, app *node.App) ([]fetch.Blob, error) {
	name := app.App + "@" + app.Version
	if err := a.available(ctx, src, app.Release); err != nil {
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
	for _, art := range r.For(a.o.Platform) {
		app.Programs = append(app.Programs, node.Program{
			Artifact: art.Name, Platform: art.Platform, File: art.File, Digest: art.Blob.Digest, Size: art.Blob.Size,
			Data: art.Kind == release.KindFile,
		})
		mine[art.Manifest.Digest] = true
		a.named(art.Blob.Digest, name+" "+art.Name)
		blobs = append(blobs, fetch.Blob{Digest: art.Blob.Digest, Size: art.Blob.Size, Chunks: art.Blob.Chunks})
	}
	if err := complete(r, app, a.o.Platform); err != nil {
		return nil, err
	}
	for service, s := range r.Services {
		if _, err := a.o.Runtimes.For(s); err != nil {
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

// heal drops every damaged blob of the depot when err says that one is and no source is to blame. It reports whether it
// dropped any: then it is worth trying again.
func (a *Agent) heal(ctx context.Context, err error) bool {
	var blamed *fetch.SourceError
	if !errors.Is(err, digest.ErrMismatch) || errors.As(err, &blamed) {
		return false
	}
	var blobs []fetch.Blob
	if err := a.depot.List(ctx, func(d digest.Digest, size int64) error {
		blobs = append(blobs, fetch.Blob{Digest: d, Size: size})
		return nil
	}); err != nil {
		return false
	}
	a.problem("depot", "a blob in the depot was damaged; it is fetched again")
	return a.distrust(ctx, blobs) == nil
}

// distrust drops blobs from the depot whose bytes are damaged: after damage was found in a generation, whose programs
// share their bytes with the depot.
func (a *Agent) distrust(ctx context.Context, blobs []fetch.Blob) error {
	for _, b := range blobs {
		there, err := store.Has(ctx, a.depot, b.Digest)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if err := store.Verify(ctx, a.depot, b.Digest); err != nil && ctx.Err() == nil {
			if err := a.depot.Remove(ctx, b.Digest); err != nil {
				return fmt.Errorf("drop damaged blob %s: %w", b.Digest, err)
			}
		}
	}
	return ctx.Err()
}

// holds refuses a source that claims to be complete and does not have blob d: a volume whose payload was replaced has
// other blobs than the ones that were signed.
func holds(src Source, d digest.Digest) error {
	v, ok := src.(interface{ Has(digest.Digest) bool })
	if !ok || v.Has(d) {
		return nil
	}
	return errs.Hint(errs.Errorf(errs.Untrusted, "%s: does not hold %s, which its signed metadata names: it was changed, or a part is missing", src.Name(), d),
		"get the volume again from who sealed it")
}

// untrusted gives content that is not what was signed its kind.
func untrusted(err error) error {
	if errors.Is(err, digest.ErrMismatch) && errs.KindOf(err) != errs.Untrusted {
		return errs.E(errs.Untrusted, err)
	}
	return err
}
