package builder_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"overland/internal/builder"
	"overland/internal/digest"
	"overland/internal/platform"
)

// shelf is a Shared in memory. What it gives it puts into depot first.
type shelf struct {
	depot  builder.Depot
	err    error
	mu     sync.Mutex
	have   map[digest.Digest]string
	asked  []builder.Wanted
	shared []builder.Sharable
}

func (s *shelf) Get(ctx context.Context, w builder.Wanted) (builder.Sharable, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, w)
	text, ok := s.have[w.Recipe]
	if !ok || s.err != nil {
		return builder.Sharable{}, false, s.err
	}
	d, n, err := s.depot.Put(ctx, strings.NewReader(text), "", -1)
	return builder.Sharable{Digest: d, Size: n, Toolchain: "theirs"}, true, err
}

func (s *shelf) Put(_ context.Context, w builder.Wanted, one builder.Sharable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.have[w.Recipe] = "shared"
	s.shared = append(s.shared, one)
}

func TestSharedResults(t *testing.T) {
	dir := repository(t, map[string]string{"main": "1"})
	here := newSite(t)
	here.fake.host = &platform.Host{OS: "debian", Release: "12"}
	s := &shelf{depot: here.depot, have: map[digest.Digest]string{}}
	req := here.request(dir, app("a"))
	req.Shared, req.Platforms = s, []platform.Platform{"linux/amd64"}
	first := here.build(req)[0]
	if len(s.asked) != 1 || len(s.shared) != 1 || here.calls() != 1 || first.Cached {
		t.Fatalf("asked %v, shared %v, %+v", s.asked, s.shared, first)
	}
	want := builder.Sharable{Digest: first.Digest, Size: first.Size, Toolchain: first.Toolchain}
	if w := s.asked[0]; s.shared[0] != want || w.Name != "a" || w.Platform != "linux/amd64" || w.Source.Hash != req.Commit.Hash || w.Host.OS != "debian" {
		t.Errorf("asked for %+v, shared %+v", s.asked[0], s.shared[0])
	}
	here.build(req)
	if len(s.asked) != 1 {
		t.Error("others were asked for what is here")
	}

	// A machine of another kind asks for the same recipe, with its own kind.
	there := newSite(t)
	there.fake.host = &platform.Host{OS: "debian", Release: "13"}
	s.depot = there.depot
	req = there.request(dir, app("a"))
	req.Shared, req.Platforms = s, []platform.Platform{"linux/amd64"}
	got := there.build(req)[0]
	if there.calls() != 0 || got.Toolchain != "theirs" || got.Digest != digest.Of([]byte("shared")) || !got.Cached || len(s.shared) != 1 {
		t.Errorf("built %+v, shared %v", got, s.shared)
	}
	if s.asked[1].Recipe != s.asked[0].Recipe || s.asked[1].Host.Release != "13" {
		t.Errorf("asked for %+v, before for %+v", s.asked[1], s.asked[0])
	}
	req.Shared = nil
	if again := there.build(req)[0]; again.Digest != got.Digest {
		t.Errorf("what was shared is not remembered: %+v", again)
	}

	// On its own machine the kind is part of the name: after an upgrade it is built anew.
	there.fake.host = &platform.Host{OS: "debian", Release: "14"}
	if again := there.build(req)[0]; again.Cached {
		t.Errorf("a result of another kind of machine was taken: %+v", again)
	}
	there.calls()

	s.err = errors.New("never built here")
	there.fake.host.Release = "15"
	req.Shared = s
	if _, err := builder.Run(t.Context(), there.depot, req); !errors.Is(err, s.err) || there.calls() != 0 {
		t.Errorf("%v", err)
	}
}
