package release_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/store/mem"
	"overland/internal/testkit/crash"
	"overland/internal/trust"
)

// refusing is a repository that ends every change with an error.
type refusing struct {
	*signed
	err error
}

func (r refusing) SetTargets(ctx context.Context, role string, change func(trust.Signed, map[string]trust.TargetFile) error) error {
	err := r.signed.SetTargets(ctx, role, func(now trust.Signed, t map[string]trust.TargetFile) error {
		return errors.Join(change(now, t), r.err)
	})
	return err
}

// drafted writes a release of ref and its inputs, which differ with the commit.
func drafted(ctx context.Context, s store.Store, ref release.Ref, commit string) (release.Draft, error) {
	text := []byte("a program of " + commit)
	blob, err := store.PutBytes(ctx, s, text)
	if err != nil {
		return release.Draft{}, err
	}
	whole := ocispec.Descriptor{Digest: blob, Size: int64(len(text))}
	in, err := release.WriteInputs(ctx, s, ref, release.Inputs{Lock: whole, Source: whole})
	if err != nil {
		return release.Draft{}, err
	}
	desc, err := release.Write(ctx, s, release.Release{
		App: ref.App, Version: ref.Version, Commit: commit, Inputs: &in, CommitTime: time.Unix(1e9, 0),
		Artifacts: []release.Artifact{{Name: "node", Platform: "linux/amd64", File: "node", Kind: release.KindBinary, Blob: release.Blob{Digest: blob, Size: int64(len(text))}}},
	})
	return release.Draft{Ref: ref, Index: desc, Inputs: &in}, err
}

func tagsOf(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	list, err := s.Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, d := range list {
		m[store.TagOf(d)] = string(d.Digest)
	}
	return m
}

// The names in a depot are those of what is signed, or waits for it: a release that is refused moves none.
func TestARefusedReleaseMovesNoTag(t *testing.T) {
	ctx := t.Context()
	s := new(mem.Store)
	ref := release.Ref{App: "wallet", Version: "r1.a"}
	repo := &signed{}
	first, err := drafted(ctx, s, ref, strings.Repeat("a", 40))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := release.Publish(ctx, repo, s, first, ours); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"wallet@r1.a": string(first.Index.Digest), "wallet@r1.a+inputs": string(first.Inputs.Digest)}
	if diff := cmp.Diff(want, tagsOf(t, s)); diff != "" {
		t.Fatalf("released: %s", diff)
	}
	denied, partial := errs.Errorf(errs.Denied, "no key"), errs.Errorf(errs.Partial, "one of two signatures")
	for _, c := range []struct {
		name string
		repo release.Repository
		ref  release.Ref
		by   release.Origin
		kind errs.Kind
	}{
		{"other content", repo, ref, ours, errs.Conflict},
		{"somebody else's name", repo, release.Ref{App: "wallet", Version: "r2.b"}, theirs, errs.Conflict},
		{"no key for it", refusing{repo, denied}, release.Ref{App: "wallet", Version: "r2.b"}, ours, errs.Denied},
	} {
		d, err := drafted(ctx, s, c.ref, strings.Repeat("b", 40))
		if err != nil {
			t.Fatal(err)
		}
		held := tagsOf(t, s)
		if len(held) != len(want)+2 || held["wallet@r1.a"] != want["wallet@r1.a"] {
			t.Errorf("%s: written, not signed: %v", c.name, held)
		}
		for name := range held {
			if of, ok := release.TagRef(name); !ok || of != ref && of != c.ref {
				t.Errorf("%s: the tag %s is of %v, %t", c.name, name, of, ok)
			}
		}
		if _, err := release.Publish(ctx, c.repo, s, d, c.by); errs.KindOf(err) != c.kind {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(want, tagsOf(t, s)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	waits, err := drafted(ctx, s, release.Ref{App: "wallet", Version: "r2.b"}, strings.Repeat("b", 40))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := release.Publish(ctx, refusing{repo, partial}, s, waits, ours); errs.KindOf(err) != errs.Partial {
		t.Error(err)
	}
	want["wallet@r2.b"], want["wallet@r2.b+inputs"] = string(waits.Index.Digest), string(waits.Inputs.Digest)
	if diff := cmp.Diff(want, tagsOf(t, s)); diff != "" {
		t.Errorf("what waits for signatures: %s", diff)
	}
}

// stopping does none of the changes from the n-th on.
type stopping struct {
	store.Store
	n int
}

func (s *stopping) change() error {
	if s.n--; s.n < 0 {
		return crash.ErrStopped
	}
	return nil
}

func (s *stopping) Put(ctx context.Context, r io.Reader, want digest.Digest, size int64) (digest.Digest, int64, error) {
	if err := s.change(); err != nil {
		return "", 0, err
	}
	return s.Store.Put(ctx, r, want, size)
}

func (s *stopping) Tag(ctx context.Context, name string, desc ocispec.Descriptor) error {
	if err := s.change(); err != nil {
		return err
	}
	return s.Store.Tag(ctx, name, desc)
}

func (s *stopping) Untag(ctx context.Context, name string) error {
	if err := s.change(); err != nil {
		return err
	}
	return s.Store.Untag(ctx, name)
}

// A release that is cut off between any two changes leaves no name of what is not signed, always
// something that a collection leaves alone, and is completed when it is made again.
func TestAReleaseThatIsCutOff(t *testing.T) {
	ref := release.Ref{App: "wallet", Version: "r2.b"}
	for n := 0; ; n++ {
		depot, repo := new(mem.Store), &signed{}
		attempt := func(s store.Store) error {
			d, err := drafted(t.Context(), s, ref, strings.Repeat("b", 40))
			if err == nil {
				_, err = release.Publish(t.Context(), repo, s, d, ours)
			}
			return err
		}
		err := attempt(&stopping{depot, n})
		completed := err == nil
		if !completed && !errors.Is(err, crash.ErrStopped) {
			t.Fatal(err)
		}
		tags := tagsOf(t, depot)
		_, err = release.Find(view{repo}, ref)
		if isSigned := err == nil; isSigned && len(tags) < 2 {
			t.Errorf("%d: signed, and a collection would take it: %v", n, tags)
		} else if !isSigned && (tags[ref.String()] != "" || tags[release.InputsTag(ref)] != "") {
			t.Errorf("%d: named, not signed: %v", n, tags)
		}
		if err := attempt(depot); err != nil {
			t.Fatalf("%d, again: %v", n, err)
		}
		if tags := tagsOf(t, depot); len(tags) != 2 || tags[ref.String()] == "" || tags[release.InputsTag(ref)] == "" {
			t.Errorf("%d, again: %v", n, tags)
		}
		if completed {
			t.Logf("%d changes", n)
			return
		}
	}
}
