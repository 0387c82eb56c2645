package release

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"overland/internal/errs"
	"overland/internal/store"
	"overland/internal/trust"
)

// TakeName allows a repository to have a name that was another's until now.
type TakeName bool

// Origin is the repository that a release was built from. Its name for itself is its own word, so
// the name is bound to where its history begins.
type Origin struct {
	Repository string // hash of the first commit of its history: source.Repo.Root
	Take       TakeName
}

// claim is the custom part of a release's signed target: whose the name is. The highest Term of a
// role's targets holds it; each repository that takes the name from another one counts on.
type claim struct {
	Repository string `json:"repository,omitempty"`
	Term       int    `json:"term,omitempty"` // from 1
}

// claimOf returns what target t says; a target that says nothing has no repository and term 0.
func claimOf(t trust.TargetFile) claim {
	var c claim
	if err := json.Unmarshal(t.Custom, &c); err != nil {
		return claim{}
	}
	return c
}

// RepositoryOf returns the hash of the first commit of the repository that released ref; "" for none.
func RepositoryOf(now trust.Signed, ref Ref) string {
	return claimOf(now.Targets(Role(ref.App))[Path(ref)]).Repository
}

// Holder is who has an application's name.
type Holder struct {
	Repository string // hash of its first commit; "" = it was never said
	Newest     string // version that it released last, by the count of commits
	Releases   int    // how many it released
}

// Published is what signing a release has changed.
type Published struct {
	New   bool    // nothing was released under the name before
	Taken *Holder // whose name it was; nil when it was this repository's
}

// holder returns who has the name of the role that says t, and the term; nil when nothing was released.
func holder(t map[string]trust.TargetFile) (*Holder, int) {
	if len(t) == 0 {
		return nil, 0
	}
	var held claim
	for _, file := range t {
		if c := claimOf(file); c.Term > held.Term {
			held = c
		}
	}
	h := &Holder{Repository: held.Repository}
	for path, file := range t {
		if claimOf(file) != held {
			continue
		}
		h.Releases++
		version := path[strings.LastIndexByte(path, '/')+1:]
		if h.Newest == "" || CompareVersions(h.Newest, version) < 0 {
			h.Newest = version
		}
	}
	return h, held.Term
}

// Commits returns the number of commits that version "r412.…" counts, and whether it has that form; of
// another version as much of it as can be read.
func Commits(version string) (n int, ok bool) {
	digits, _, ok := strings.Cut(strings.TrimPrefix(version, "r"), ".")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0, false
	}
	return n, ok
}

// CompareVersions orders versions, the oldest first, as far as their names tell: r9.… before r10.…,
// and v1.9.0 before v1.10.0.
func CompareVersions(a, b string) int {
	number := func(s string) string {
		const digits = "0123456789"
		return s[:len(s)-len(strings.TrimLeft(s, digits))]
	}
	x, y := a, b
	for x != "" && y != "" {
		m, n := number(x), number(y)
		if m == "" || n == "" {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		x, y = x[len(m):], y[len(n):]
		m, n = strings.TrimLeft(m, "0"), strings.TrimLeft(n, "0")
		if c := cmp.Or(cmp.Compare(len(m), len(n)), cmp.Compare(m, n)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

// MayName returns an error unless a repository may release under the name app: of kind Invalid for a
// reserved name, Conflict when it is another's and o does not take it. Publish
// checks the same; this is for callers who want to know before they build.
func MayName(now trust.Signed, app string, o Origin) error {
	_, _, err := claimFor(now.Targets(Role(app)), app, o)
	return err
}

// claimFor returns the claim to app that a release of o signs, when the role of app says t so far.
func claimFor(t map[string]trust.TargetFile, app string, o Origin) (claim, *Published, error) {
	if err := checkReserved(app); err != nil {
		return claim{}, nil, err
	}
	if o.Repository == "" {
		return claim{}, nil, errs.Errorf(errs.Invalid, "release %s: of which repository?", app)
	}
	h, term := holder(t)
	switch {
	case h == nil:
		return claim{o.Repository, 1}, &Published{New: true}, nil
	case h.Repository == o.Repository:
		return claim{o.Repository, term}, &Published{}, nil
	case bool(o.Take):
		return claim{o.Repository, term + 1}, &Published{Taken: h}, nil
	}
	return claim{}, nil, errs.Hint(errs.Errorf(errs.Conflict,
		"the name %s is that of another repository, which begins with commit %s and released %s last; this one begins with commit %s",
		app, short(h.Repository), h.Newest, short(o.Repository)),
		"write another name in overland.yaml; or, when this one is to replace %s and have its data on every node: --take-name", app)
}

// short returns as much of a commit's hash as people read.
func short(hash string) string {
	const digits = 12
	if hash == "" {
		return "(none)"
	}
	return hash[:min(digits, len(hash))]
}

// Publish signs that d, in depot s, is the release of repository o, and then names it there. Doing it
// twice changes nothing; the same ref with another index is an error of kind Conflict. So is a name
// that is another repository's, and a reserved name is one of kind Invalid: see MayName. What is
// refused leaves the names in s as they were; what waits for signatures is named.
func Publish(ctx context.Context, repo Repository, s store.Tags, d Draft, o Origin) (*Published, error) {
	var p *Published
	var refused error // all that there is to say
	err := publish(ctx, repo, s, d, func(t map[string]trust.TargetFile) (json.RawMessage, error) {
		var c claim
		if c, p, refused = claimFor(t, d.Ref.App, o); refused != nil {
			return nil, refused
		}
		return json.Marshal(c)
	})
	if refused != nil {
		return nil, refused
	}
	return p, err
}

// PublishAgent is Publish for the agent, which that never signs.
func PublishAgent(ctx context.Context, repo Repository, s store.Tags, d Draft) error {
	if d.Ref.App != AgentApp {
		return errs.Errorf(errs.Internal, "release %s: not the agent", d.Ref)
	}
	return publish(ctx, repo, s, d, func(map[string]trust.TargetFile) (json.RawMessage, error) { return nil, nil })
}

// publish signs d with what custom makes of the role's targets.
func publish(ctx context.Context, repo Repository, s store.Tags, d Draft,
	custom func(t map[string]trust.TargetFile) (json.RawMessage, error),
) error {
	ref, desc := d.Ref, d.Index
	if err := ref.Check(); err != nil {
		return err
	}
	err := repo.SetTargets(ctx, Role(ref.App), func(_ trust.Signed, t map[string]trust.TargetFile) error {
		said, err := custom(t)
		if err != nil {
			return err
		}
		old, ok := t[Path(ref)]
		switch {
		case ok && old.Digest == desc.Digest && claimOf(old) == claimOf(trust.TargetFile{Custom: said}):
			return errSame
		case ok && old.Digest != desc.Digest:
			return errs.Hint(errs.Errorf(errs.Conflict, "%s is already released with other content (%s)", ref, old.Digest),
				"a release never changes: commit, and release the new version")
		}
		t[Path(ref)] = trust.TargetFile{Digest: desc.Digest, Size: desc.Size, Custom: said}
		return nil
	})
	if errors.Is(err, errSame) {
		err = nil
	}
	return done(fmt.Sprintf("release %s", ref), d.named(ctx, s, err))
}
