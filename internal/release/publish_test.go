package release_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/store/mem"
	"overland/internal/trust"
)

// signed is a Repository in memory: it keeps every version of every role, as the real one does.
type signed struct {
	mu    sync.Mutex
	roles map[string][]trust.Version // oldest first
}

func (s *signed) SetTargets(_ context.Context, role string, change func(trust.Signed, map[string]trust.TargetFile) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.roles == nil {
		s.roles = make(map[string][]trust.Version)
	}
	t := make(map[string]trust.TargetFile)
	n := len(s.roles[role])
	if n > 0 {
		maps.Copy(t, s.roles[role][n-1].Targets)
	}
	if err := change(view{s}, t); err != nil {
		return err
	}
	at := time.Date(2026, 3, 1, 0, 0, n, 0, time.UTC)
	s.roles[role] = append(s.roles[role], trust.Version{Version: int64(n + 1), SignedAt: at, Targets: t})
	return nil
}

func (s *signed) now() trust.Signed { return view{s} }

// view is what is signed now; it is used while nothing is being signed, or by what is.
type view struct{ *signed }

func (s view) Targets(role string) map[string]trust.TargetFile {
	if v := s.roles[role]; len(v) > 0 {
		return maps.Clone(v[len(v)-1].Targets)
	}
	return nil
}

func (s view) SignedBy(string) []string { return nil }

func (s view) SignedTime(string) time.Time { return time.Time{} }

func (s view) Version(role string) int64 { return int64(len(s.roles[role])) }

func (s view) History(_ context.Context, role string) ([]trust.Version, error) {
	var newest []trust.Version
	for i := len(s.roles[role]) - 1; i >= 0; i-- {
		newest = append(newest, s.roles[role][i])
	}
	return newest, nil
}

// ours is the repository of the releases in these tests.
var ours = release.Origin{Repository: "6f4a1c0000000000000000000000000000000001"}

func index(content string) ocispec.Descriptor {
	return release.Describe(ocispec.MediaTypeImageIndex, []byte(content))
}

func published(t *testing.T, repo release.Repository, versions ...string) {
	t.Helper()
	for _, v := range versions {
		if _, err := release.Publish(t.Context(), repo, new(mem.Store), release.Draft{Ref: release.Ref{"wallet", v}, Index: index(v)}, ours); err != nil {
			t.Fatal(err)
		}
	}
}

func promoted(t *testing.T, repo release.Repository, ch release.Channel, version string) {
	t.Helper()
	if _, err := release.Promote(t.Context(), repo, release.Ref{"wallet", version}, ch, false); err != nil {
		t.Fatal(err)
	}
}

func TestReleasesAreImmutable(t *testing.T) {
	repo := &signed{}
	published(t, repo, "r1.a", "r1.a")
	_, err := release.Publish(t.Context(), repo, new(mem.Store), release.Draft{Ref: release.Ref{"wallet", "r1.a"}, Index: index("other")}, ours)
	if errs.KindOf(err) != errs.Conflict || errs.HintOf(err) == "" {
		t.Errorf("error = %v, want a conflict with a hint", err)
	}
	if n := len(repo.roles["app/wallet"]); n != 1 {
		t.Errorf("%d versions were signed, want 1", n)
	}
}

func TestPromoteNeedsARelease(t *testing.T) {
	_, err := release.Promote(t.Context(), &signed{}, release.Ref{"wallet", "r1.a"}, "live", false)
	if errs.KindOf(err) != errs.NotFound {
		t.Errorf("error = %v, want not found", err)
	}
}

func TestPromoteFromMovesTheDigest(t *testing.T) {
	repo := &signed{}
	published(t, repo, "r1.a", "r2.b")
	promoted(t, repo, "staging", "r2.b")
	if _, err := release.PromoteFrom(t.Context(), repo, "wallet", "staging", "live", false); err != nil {
		t.Fatal(err)
	}
	got, err := release.Show(t.Context(), repo.now(), "live")
	if err != nil || len(got) != 1 {
		t.Fatalf("live runs %v, %v", got, err)
	}
	if e := got[0]; e.Version != "r2.b" || e.Digest != index("r2.b").Digest || e.From != "staging" || e.Since.IsZero() {
		t.Errorf("live runs %+v", e)
	}
	if _, err := release.PromoteFrom(t.Context(), repo, "other", "staging", "live", false); errs.KindOf(err) != errs.NotFound {
		t.Errorf("error = %v, want not found", err)
	}
}

func TestPromotingTheSameSignsNothing(t *testing.T) {
	repo := &signed{}
	published(t, repo, "r1.a")
	promoted(t, repo, "live", "r1.a")
	promoted(t, repo, "live", "r1.a")
	if n := len(repo.roles["channel/live"]); n != 1 {
		t.Errorf("%d versions were signed, want 1", n)
	}
}

func TestRollbackWalksBack(t *testing.T) {
	repo := &signed{}
	published(t, repo, "r1.a", "r2.b", "r3.c", "r4.d")
	for _, v := range []string{"r1.a", "r2.b", "r3.c"} {
		promoted(t, repo, "live", v)
	}
	back := func(want string) {
		t.Helper()
		e, err := release.Rollback(t.Context(), repo, "live", "wallet")
		if want == "" {
			if errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
				t.Fatalf("rolled back to %v, %v; want not found and a hint", e, err)
			}
			return
		}
		if err != nil || e.Version != want {
			t.Fatalf("rolled back to %v, %v; want %s", e, err, want)
		}
	}
	back("r2.b")
	promoted(t, repo, "live", "r4.d")
	back("r2.b")
	back("r1.a")
	back("")
	promoted(t, repo, "live", "r3.c")
	back("r1.a")
}

func TestShowUnknownChannel(t *testing.T) {
	if _, err := release.Show(t.Context(), view{&signed{}}, "live"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("error = %v, want not found", err)
	}
	if _, err := release.Show(t.Context(), view{&signed{}}, "../live"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("error = %v, want invalid", err)
	}
}

func TestTwoOperatorsPromoteAtOnce(t *testing.T) {
	repo := &signed{}
	published(t, repo, "r1.a", "r2.b")
	var wait sync.WaitGroup
	for _, v := range []string{"r1.a", "r2.b"} {
		wait.Go(func() {
			if _, err := release.Promote(t.Context(), repo, release.Ref{"wallet", v}, "live", false); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := len(repo.roles["channel/live"]); n != 2 {
		t.Errorf("%d statements, want both in the history", n)
	}
}

func TestSealedChannel(t *testing.T) {
	index := func(channels ...string) []byte {
		var list []ocispec.Descriptor
		for i, ch := range channels {
			d := index(string(rune('a' + i)))
			d.Annotations = map[string]string{release.AnnotationChannel: ch}
			list = append(list, d)
		}
		b, err := store.MarshalIndex(list)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if ch, err := release.SealedChannel(index("live", "live")); err != nil || ch != "live" {
		t.Errorf("channel %q, %v", ch, err)
	}
	for _, b := range [][]byte{nil, index(), index("live", "x"), index("../x"), index(""), []byte("{")} {
		if _, err := release.SealedChannel(b); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: error = %v, want invalid", b, err)
		}
	}
}
