package holdings

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/progress"
	"overland/internal/release"
	storedir "overland/internal/store/dir"
	"overland/internal/trust/repository"
)

// Holdings is a site directory, looked at as what it keeps.
type Holdings struct {
	Dir      string
	Depot    *storedir.Store
	Repo     *repository.Repository // nil: nothing is signed yet
	FS       fsx.FS
	Progress func(progress.Event) // nil: not shown
}

// Held is a signed release, and what it takes in the depot.
type Held struct {
	Ref       release.Ref
	Digest    digest.Digest // of its OCI index
	Committed time.Time
	Size      int64    // bytes of all its blobs
	Alone     int64    // of those that no other release has: what would be free without it
	Held      []string // what needs it: "live runs it", "live falls back to it"; empty = nothing
	Returns   []string // "live can return to it": lost when it is removed
	Problem   string   // why it cannot be read; its sizes are 0 then
}

// Stored is what the depot holds.
type Stored struct {
	Blobs    int
	Bytes    int64
	Releases int64 // bytes of signed releases
	Apps     []App // by what they take, the largest first
}

// App is what the releases of one application take.
type App struct {
	Name     string
	Releases int
	Bytes    int64 // each blob once
}

// Releases returns the signed releases of app, of all when it is "", by name and the newest commit
// first. It reads every release. Errors are of kind NotFound when there is none.
func (h *Holdings) Releases(ctx context.Context, app string) ([]Held, error) {
	if h.Repo == nil {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "nothing is signed in %s", h.Dir), "overland trust init, then overland release")
	}
	list, _, err := h.releases(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b Held) int {
		return cmp.Or(cmp.Compare(a.Ref.App, b.Ref.App), b.Committed.Compare(a.Committed),
			cmp.Compare(len(b.Ref.Version), len(a.Ref.Version)), cmp.Compare(b.Ref.Version, a.Ref.Version)) // r10 after r9
	})
	if app == "" {
		return list, nil
	}
	list = slices.DeleteFunc(list, func(r Held) bool { return r.Ref.App != app })
	if len(list) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "nothing is released under the name %q", app), "overland release list")
	}
	return list, nil
}

// blobs are the blobs of releases: how long each is, and which releases have it.
type blobs map[digest.Digest]*struct {
	size int64
	of   []int
}

func (h *Holdings) releases(ctx context.Context) ([]Held, blobs, error) {
	now, err := h.signed(ctx)
	if err != nil || now == nil {
		return nil, nil, err
	}
	var list []Held
	for ref, t := range releasesOf(now) {
		list = append(list, Held{Ref: ref, Digest: t.Digest})
	}
	all := blobs{}
	for i := range list {
		if err := h.measure(ctx, &list[i], i, all); err != nil {
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			list[i].Problem = err.Error()
		}
	}
	for _, b := range all {
		for _, i := range b.of {
			list[i].Size += b.size
		}
		if len(b.of) == 1 {
			list[b.of[0]].Alone += b.size
		}
	}
	// The blobs know the releases by their place, so the order is kept until here.
	if err := hold(ctx, now, list); err != nil {
		return nil, nil, err
	}
	return list, all, nil
}

// measure adds the blobs of one, the release i, to all.
func (h *Holdings) measure(ctx context.Context, one *Held, i int, all blobs) error {
	r, err := release.Read(ctx, h.Depot, one.Digest)
	if err != nil {
		return err
	}
	one.Committed = r.CommitTime
	closure, err := release.Closure(ctx, h.Depot, one.Digest, nil)
	if err != nil {
		return err
	}
	for _, d := range closure {
		name := d.Digest
		if all[name] == nil {
			all[name] = &struct {
				size int64
				of   []int
			}{size: d.Size}
		}
		if b := all[name]; !slices.Contains(b.of, i) {
			b.of = append(b.of, i)
		}
	}
	return nil
}

// hold fills in what needs each of list.
func hold(ctx context.Context, now *repository.State, list []Held) error {
	find := func(app, version string) *Held {
		i := slices.IndexFunc(list, func(h Held) bool { return h.Ref.App == app && h.Ref.Version == version })
		if i < 0 {
			return &Held{} // it is not signed, so there is nothing to hold
		}
		return &list[i]
	}
	say := func(app, version, what string) {
		if h := find(app, version); !slices.Contains(h.Held, what) {
			h.Held = append(h.Held, what)
		}
	}
	for _, name := range channels(now) {
		ch := release.Channel(name)
		runs, err := release.Runs(now, ch)
		if err != nil && errs.KindOf(err) != errs.NotFound {
			return err
		}
		for _, e := range runs {
			say(e.App, e.Version, name+" runs it")
			if e.Fallback != nil {
				say(e.App, e.Fallback.Version, name+" falls back to it")
			}
			if e.Back != nil {
				say(e.App, e.Back.Undone.Version, name+" was promoted to it")
			}
			before, err := release.Before(ctx, now, ch, e.App)
			if err != nil {
				return fmt.Errorf("what needs the releases of %s: %w", e.App, err)
			}
			for _, old := range before {
				if h, what := find(e.App, old.Version), name+" can return to it"; !slices.Contains(h.Returns, what) {
					h.Returns = append(h.Returns, what)
				}
			}
		}
	}
	return waiting(now, say)
}

// waiting says what changes that wait for signatures need.
func waiting(now *repository.State, say func(app, version, what string)) error {
	staged, err := now.Staged()
	if err != nil {
		return err
	}
	for _, change := range staged {
		ch, ok := strings.CutPrefix(change.Role, release.Channel("").Role())
		if !ok {
			continue
		}
		for _, e := range release.Says(release.Channel(ch), change.After) {
			say(e.App, e.Version, "a change of "+ch+" that waits for signatures runs it")
			if e.Fallback != nil {
				say(e.App, e.Fallback.Version, "a change of "+ch+" that waits for signatures falls back to it")
			}
		}
	}
	return nil
}

// signed returns what the metadata says; nil when there is none.
func (h *Holdings) signed(ctx context.Context) (*repository.State, error) {
	if h.Repo == nil {
		return nil, nil
	}
	return h.Repo.Read(ctx)
}

// channels returns the names of all channels, sorted.
func channels(now *repository.State) []string {
	var list []string
	for _, role := range now.Roles() {
		if name, ok := strings.CutPrefix(role, release.Channel("").Role()); ok {
			list = append(list, name)
		}
	}
	return list
}

// Stored returns what is in the depot, and how much of it is releases. The rest is what builds and
// records fetched, results that were not released, and what the site's caches keep.
func (h *Holdings) Stored(ctx context.Context) (*Stored, error) {
	s := &Stored{}
	err := h.Depot.List(ctx, func(_ digest.Digest, size int64) error {
		s.Blobs++
		s.Bytes += size
		return nil
	})
	if err != nil {
		return nil, err
	}
	list, all, err := h.releases(ctx)
	if err != nil {
		return nil, err
	}
	apps := map[string]*App{}
	for _, r := range list {
		if apps[r.Ref.App] == nil {
			apps[r.Ref.App] = &App{Name: r.Ref.App}
		}
		apps[r.Ref.App].Releases++
	}
	for d, b := range all {
		if _, err := h.Depot.Stat(ctx, d); err != nil {
			continue
		}
		s.Releases += b.size
		seen := map[string]bool{}
		for _, i := range b.of {
			if app := list[i].Ref.App; !seen[app] {
				seen[app] = true
				apps[app].Bytes += b.size
			}
		}
	}
	for _, a := range apps {
		s.Apps = append(s.Apps, *a)
	}
	slices.SortFunc(s.Apps, func(a, b App) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name)) })
	return s, nil
}

// Shown is a release with all that is known of it.
type Shown struct {
	Held
	Release    *release.Release // nil: it cannot be read, see Problem
	Repository string           // hash of the first commit of its history; "" for the agent
	Sizes      []int64          // bytes of each artifact of Release, of an image with all its parts
}

// Show returns the release ref. One that is not signed is an error of kind NotFound.
func (h *Holdings) Show(ctx context.Context, ref release.Ref) (*Shown, error) {
	if err := ref.Check(); err != nil {
		return nil, err
	}
	list, err := h.Releases(ctx, ref.App)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(r Held) bool { return r.Ref == ref })
	if i < 0 {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "no release %s", ref), "overland release list %s", ref.App)
	}
	now, err := h.signed(ctx)
	if err != nil {
		return nil, err
	}
	s := &Shown{Held: list[i], Repository: release.RepositoryOf(now, ref)}
	if s.Problem == "" {
		s.Release, err = release.Read(ctx, h.Depot, s.Digest)
	}
	if err != nil || s.Release == nil {
		return s, err
	}
	for _, a := range s.Release.Artifacts {
		n, err := a.Whole(ctx, h.Depot)
		if err != nil {
			return nil, err
		}
		s.Sizes = append(s.Sizes, n)
	}
	return s, nil
}
