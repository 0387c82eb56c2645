package holdings

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

// Removal is what removing releases of one application does.
type Removal struct {
	Releases []Held
	Free     int64 // bytes that no other release has: a collection frees them, but for what else needs them
	Last     bool  // they are all that is released under the name, which is free then
}

// Plan returns what removing refs, of one application, would do. A release that is not signed is an
// error of kind NotFound; one that a channel names, of kind Conflict.
func (h *Holdings) Plan(ctx context.Context, refs []release.Ref) (*Removal, error) {
	list, all, err := h.releases(ctx)
	if err != nil {
		return nil, err
	}
	p := &Removal{Last: true}
	going := map[int]bool{}
	for _, ref := range refs {
		if ref.App != refs[0].App {
			return nil, errs.Errorf(errs.Invalid, "%s and %s are of two applications: remove one's releases, then the other's", refs[0], ref)
		}
		i := slices.IndexFunc(list, func(r Held) bool { return r.Ref == ref })
		if i < 0 {
			return nil, errs.Hint(errs.Errorf(errs.NotFound, "no release %s", ref), "overland release list %s", ref.App)
		}
		if r := list[i]; len(r.Held) > 0 {
			return nil, errs.Hint(errs.Errorf(errs.Conflict, "%s is needed: %s", ref, strings.Join(r.Held, ", ")),
				"promote another release first, or overland channel remove %s --from CHANNEL", ref.App)
		}
		if !going[i] {
			p.Releases = append(p.Releases, list[i])
		}
		going[i] = true
	}
	for i, r := range list {
		p.Last = p.Last && (r.Ref.App != refs[0].App || going[i])
	}
	for _, b := range all {
		if !slices.ContainsFunc(b.of, func(i int) bool { return !going[i] }) {
			p.Free += b.size
		}
	}
	return p, nil
}

// Remove signs that the releases of p are none, and takes their names out of the depot; what they
// took is freed by the next Collect. A name whose last release goes is free for any repository.
func (h *Holdings) Remove(ctx context.Context, p *Removal) error {
	var refs []release.Ref
	for _, r := range p.Releases {
		refs = append(refs, r.Ref)
	}
	// What was promoted since the plan was made is looked at in the state that the change is made on.
	err := release.Withdraw(ctx, h.Repo, refs, func(now trust.Signed) error {
		state, ok := now.(*repository.State)
		if !ok {
			return errs.Errorf(errs.Internal, "not a state of the repository: %T", now)
		}
		list := slices.Clone(p.Releases)
		for i := range list {
			list[i].Held, list[i].Returns = nil, nil
		}
		if err := hold(ctx, state, list); err != nil {
			return err
		}
		for _, r := range list {
			if len(r.Held) > 0 {
				return errs.Errorf(errs.Conflict, "%s is needed: %s", r.Ref, strings.Join(r.Held, ", "))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	tags, err := h.Depot.Tags(ctx)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		name := store.TagOf(tag)
		if ref, ok := release.TagRef(name); !ok || !slices.Contains(refs, ref) {
			continue
		}
		if err := h.Depot.Untag(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// releasesOf returns the releases that now says are signed.
func releasesOf(now *repository.State) iter.Seq2[release.Ref, trust.TargetFile] {
	return func(yield func(release.Ref, trust.TargetFile) bool) {
		if now == nil {
			return
		}
		for _, role := range now.Roles() {
			app, ok := strings.CutPrefix(role, release.Role(""))
			if !ok {
				continue
			}
			for path, t := range now.Targets(role) {
				if !yield(release.Ref{App: app, Version: strings.TrimPrefix(path, role+"/")}, t) {
					return
				}
			}
		}
	}
}

// Refs returns the names of the signed releases, by application and the oldest first.
func (h *Holdings) Refs(ctx context.Context) ([]release.Ref, error) {
	now, err := h.signed(ctx)
	if err != nil {
		return nil, err
	}
	var list []release.Ref
	for ref := range releasesOf(now) {
		list = append(list, ref)
	}
	slices.SortFunc(list, func(a, b release.Ref) int {
		return cmp.Or(cmp.Compare(a.App, b.App), release.CompareVersions(a.Version, b.Version))
	})
	return list, nil
}

// stagedRefs returns the releases that wait for signatures, and those whose removal does.
func stagedRefs(now *repository.State) ([]release.Ref, error) {
	if now == nil {
		return nil, nil
	}
	changes, err := now.Staged()
	if err != nil {
		return nil, err
	}
	var list []release.Ref
	for _, change := range changes {
		app, ok := strings.CutPrefix(change.Role, release.Role(""))
		if !ok {
			continue
		}
		for path := range change.After {
			list = append(list, release.Ref{App: app, Version: strings.TrimPrefix(path, change.Role+"/")})
		}
	}
	return list, nil
}
