package operator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/trust/repository"
)

// Held is a signed release, and what it takes in the depot.
type Held struct {
	Ref       release.Ref
	Digest    digest.Digest // of its OCI index
	Committed time.Time
	Size      int64    // bytes of all its blobs
	Alone     int64    // of those that no other release has: what would be free without it
	Held      []string // what needs it: "live runs it", "live can return to it"; empty = nothing
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
// first. It reads every release.
func (p *Operator) Releases(ctx context.Context, app string) ([]Held, error) {
	list, _, err := p.releases(ctx)
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
	list = slices.DeleteFunc(list, func(h Held) bool { return h.Ref.App != app })
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

func (p *Operator) releases(ctx context.Context) ([]Held, blobs, error) {
	now, err := p.Signed(ctx)
	if err != nil {
		return nil, nil, err
	}
	var list []Held
	for _, role := range now.Roles() {
		if !strings.HasPrefix(role, release.Role("")) {
			continue
		}
		for path, t := range now.Targets(role) {
			ref := release.Ref{App: strings.TrimPrefix(role, release.Role("")), Version: strings.TrimPrefix(path, role+"/")}
			list = append(list, Held{Ref: ref, Digest: t.Digest})
		}
	}
	all := blobs{}
	for i := range list {
		if err := p.measure(ctx, &list[i], i, all); err != nil {
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

// measure adds the blobs of h, the release i, to all.
func (p *Operator) measure(ctx context.Context, h *Held, i int, all blobs) error {
	r, err := release.Read(ctx, p.depot, h.Digest)
	if err != nil {
		return err
	}
	h.Committed = r.CommitTime
	closure, err := release.Closure(ctx, p.depot, h.Digest, nil)
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
	say := func(app string, version string, what string) {
		for i := range list {
			if h := &list[i]; h.Ref.App == app && h.Ref.Version == version && !slices.Contains(h.Held, what) {
				h.Held = append(h.Held, what)
			}
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
				say(e.App, old.Version, name+" can return to it")
			}
		}
	}
	return nil
}

// Stored returns what is in the depot, and how much of it is releases. The rest is what builds and
// records fetched, results that were not released, and what the site's caches keep.
func (p *Operator) Stored(ctx context.Context) (*Stored, error) {
	s := &Stored{}
	err := p.depot.List(ctx, func(_ digest.Digest, size int64) error {
		s.Blobs++
		s.Bytes += size
		return nil
	})
	if err != nil {
		return nil, err
	}
	list, all, err := p.releases(ctx)
	if errs.KindOf(err) == errs.NotFound { // nothing is signed yet
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	apps := map[string]*App{}
	for _, h := range list {
		if apps[h.Ref.App] == nil {
			apps[h.Ref.App] = &App{Name: h.Ref.App}
		}
		apps[h.Ref.App].Releases++
	}
	for d, b := range all {
		if _, err := p.depot.Stat(ctx, d); err != nil {
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
