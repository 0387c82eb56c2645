package approval_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/operator/approval"
	"overland/internal/trust"
	"overland/internal/trust/repository"
	"overland/internal/trust/trusttest"
)

// office is a repository whose channel/live needs two of ann and ben, whose keys are elsewhere.
type office struct {
	*repository.Repository
	t        *testing.T
	ann, ben trust.Signer
	known    []trust.KeyInfo
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t}
	var err error
	if o.Repository, err = repository.Init(t.Context(), trusttest.NewMemory(), trusttest.NewMemoryKeys(), repository.InitOptions{}); err != nil {
		t.Fatal(err)
	}
	people := trusttest.NewMemoryKeys()
	for name, key := range map[string]*trust.Signer{"ann": &o.ann, "ben": &o.ben} {
		pub, err := people.New(name, nil)
		if err == nil {
			*key, err = people.ByID(pub.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		o.known = append(o.known, trust.KeyInfo{Name: name, ID: pub.ID})
	}
	o.set("app/wallet", says("app/wallet/r1.aaaaaaaaaaaa", "old", map[string]any{}))
	o.set("app/wallet", says("app/wallet/r2.bbbbbbbbbbbb", "new", map[string]any{}))
	o.set("channel/live", says("channel/live/wallet", "old", map[string]any{"version": "r1.aaaaaaaaaaaa"}))
	if err := o.AddSigner(t.Context(), "channel/live", o.ann.Public(), 0); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *office) set(role string, change func(trust.Signed, map[string]trust.TargetFile) error) {
	o.t.Helper()
	if err := o.SetTargets(o.t.Context(), role, change); err != nil && !errors.Is(err, repository.ErrStaged) {
		o.t.Fatal(err)
	}
}

// told returns what signers of role are told.
func (o *office) told(role string) approval.Change {
	o.t.Helper()
	now, err := o.Read(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	list, err := approval.Describe(now, o.known)
	if err != nil {
		o.t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(c approval.Change) bool { return c.Role == role })
	if i < 0 {
		o.t.Fatalf("nothing of %s waits: %+v", role, list)
	}
	return list[i]
}

// twoOfTwo makes ann and ben the signers, and returns what the signers of targets are told of that.
func (o *office) twoOfTwo() approval.Change {
	o.t.Helper()
	if err := o.AddSigner(o.t.Context(), "channel/live", o.ben.Public(), 2); !errors.Is(err, repository.ErrStaged) {
		o.t.Fatal(err)
	}
	c := o.told("targets")
	for _, s := range []trust.Signer{o.ann, o.ben} {
		if err := o.Sign(o.t.Context(), "channel/live", s); err != nil && !errors.Is(err, repository.ErrStaged) {
			o.t.Fatal(err)
		}
	}
	return c
}

// Whose keys go is told, as whose keys come; who has signed is not asked again, and what is signed is handed out.
func TestWhoGoesAndWhoIsAskedStill(t *testing.T) {
	o := newOffice(t)
	c := o.twoOfTwo()
	i := slices.IndexFunc(c.Signers, func(s approval.Signers) bool { return s.Role == "channel/live" })
	if i < 0 || !slices.Equal(c.Signers[i].Added, []string{"ben"}) || len(c.Signers[i].Removed) != 1 {
		t.Errorf("%+v; want ben to come and the machine's key to go", c.Signers)
	}
	o.set("channel/live", says("channel/live/wallet", "new", map[string]any{"version": "r2.bbbbbbbbbbbb"}))
	if err := o.Sign(t.Context(), "channel/live", o.ann); !errors.Is(err, repository.ErrStaged) {
		t.Fatal(err)
	}
	c = o.told("channel/live")
	if !slices.Equal(c.SignedBy, []string{"ann"}) || !slices.Equal(c.MaySign, []string{"ben"}) || digest.Of(c.Payload) != c.Digest {
		t.Errorf("%+v", c)
	}
	// A signer of the old root and of the new one is one.
	if err := o.AddSigner(t.Context(), "root", o.ann.Public(), 2); !errors.Is(err, repository.ErrStaged) {
		t.Fatal(err)
	}
	if c := o.told("root"); len(c.SignedBy) != 1 || !slices.Equal(c.MaySign, []string{"ann"}) {
		t.Errorf("signed by %q, may sign %q", c.SignedBy, c.MaySign)
	}
}

// Everything that changes about an application is told: its bytes alone, its words alone, one that comes and one that goes.
func TestEveryChangeOfAReleaseIsTold(t *testing.T) {
	o := newOffice(t)
	o.twoOfTwo()
	words := map[string]any{"version": "r1.aaaaaaaaaaaa"}
	for name, c := range map[string]struct {
		change func(trust.Signed, map[string]trust.TargetFile) error
		check  func(r approval.Release) bool
	}{
		"bytes alone": {says("channel/live/wallet", "evil", words), func(r approval.Release) bool {
			return r.Before == r.After && r.Digest != r.DigestWas && r.Unsigned
		}},
		"words alone": {
			says("channel/live/wallet", "old", map[string]any{
				"version": "r2.bbbbbbbbbbbb", "repository": "f1f1", "fallback": map[string]any{"version": "r1.aaaaaaaaaaaa"},
			}),
			func(r approval.Release) bool {
				return r.After == "r2.bbbbbbbbbbbb" && r.Repository == "f1f1" && r.Fallback == "r1.aaaaaaaaaaaa" && r.Unsigned
			},
		},
		"a version that nobody released": {
			says("channel/live/wallet", "old", map[string]any{"version": "r9.cccccccccccc"}),
			func(r approval.Release) bool { return r.Unsigned },
		},
		"another application": {says("channel/live/tea", "x", words), func(r approval.Release) bool {
			return r.App == "tea" && r.Before == "" && r.Commits == nil
		}},
		"one that goes": {func(_ trust.Signed, m map[string]trust.TargetFile) error {
			delete(m, "channel/live/wallet")
			return nil
		}, func(r approval.Release) bool {
			return r.App == "wallet" && r.Before != "" && r.After == "" && !r.Unsigned && r.Commits == nil
		}},
	} {
		o.set("channel/live", c.change)
		if got := o.told("channel/live").Releases; len(got) != 1 || !c.check(got[0]) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A return that no promotion allows is told as one that nodes ignore.
func TestAReturnWithoutEffectIsTold(t *testing.T) {
	o := newOffice(t)
	o.twoOfTwo()
	o.set("fallback/live", says("fallback/live/wallet", "evil", map[string]any{"version": "r9.cccccccccccc"}))
	got := o.told("fallback/live").Releases
	if len(got) != 1 || !got[0].Back || !got[0].NoEffect || got[0].After != "r9.cccccccccccc" {
		t.Errorf("%+v", got)
	}
}

// damaged is a depot in which nothing can be read.
type damaged struct{ err error }

func (d damaged) Bytes(context.Context, digest.Digest, int64) ([]byte, error) { return nil, d.err }

func TestWhatIsAskedForIsNotKnownHere(t *testing.T) {
	for want, err := range map[string]error{"not in this depot": errs.Errorf(errs.NotFound, "blob"), "the disk is broken": errors.New("the disk is broken")} {
		list := []approval.Change{{Releases: []approval.Release{{App: "wallet", After: "r1", Digest: digest.Of(nil)}, {App: "tea", Before: "r1"}}}}
		approval.Ask(t.Context(), damaged{err}, list)
		if r := list[0].Releases; !strings.Contains(r[0].Unread, want) || r[1].Unread != "" {
			t.Errorf("%+v; want %q", r, want)
		}
	}
}
