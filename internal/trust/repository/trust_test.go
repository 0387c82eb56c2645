package repository

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/trust/keys"
)

var day0 = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// site is a repository, its keys and its time.
type site struct {
	*Repository
	keys   *keys.Dir
	keyDir string
	dir    string
	now    time.Time
	t      *testing.T
}

func newSite(t *testing.T, o InitOptions) *site {
	t.Helper()
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "trust"), now: day0}
	s.keyDir = filepath.Join(t.TempDir(), "keys")
	keys, err := keys.Open(s.keyDir, keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.keys = keys
	o.Clock = func() time.Time { return s.now }
	if s.Repository, err = Init(context.Background(), Dir(s.dir, fsx.FS{}), keys, o); err != nil {
		t.Fatal(err)
	}
	return s
}

// state is what the repository says now.
func (s *site) state() *State {
	s.t.Helper()
	now, err := s.Read(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return now
}

func (s *site) Fingerprint() trust.Fingerprint { return s.state().Fingerprint() }

func (s *site) Names() ([]string, error) { return s.state().Names(), nil }

func (s *site) Targets(role string) (map[string]trust.TargetFile, error) {
	return s.state().Targets(role), nil
}

func (s *site) History(role string) ([]trust.Version, error) {
	return s.state().History(context.Background(), role)
}

func (s *site) release(app, version string) {
	s.t.Helper()
	if err := s.SetTargets(context.Background(), "app/"+app, put("app/"+app+"/"+version, version)); err != nil {
		s.t.Fatal(err)
	}
}

func put(path, content string) func(trust.Signed, map[string]trust.TargetFile) error {
	return func(_ trust.Signed, m map[string]trust.TargetFile) error {
		m[path] = trust.TargetFile{Digest: digest.Of([]byte(content)), Size: int64(len(content))}
		return nil
	}
}

func newNode(t *testing.T, s *site) *client.Client {
	t.Helper()
	c := openNode(t, t.TempDir(), s)
	if err := c.Pin(context.Background(), s, s.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	return c
}

func openNode(t *testing.T, dir string, s *site) *client.Client {
	t.Helper()
	c, err := client.Open(dir, client.Options{Clock: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReleaseReachesNode(t *testing.T) {
	ctx := context.Background()
	s := newSite(t, InitOptions{})
	s.release("wallet", "r1.abc")
	c := newNode(t, s)
	fresh, err := c.Refresh(ctx, s, client.RefreshOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !fresh.Known || !fresh.SignedAt.Equal(day0) {
		t.Errorf("freshness %+v", fresh)
	}
	got, err := c.Target(ctx, "app/wallet/r1.abc")
	if err != nil || got.Digest != digest.Of([]byte("r1.abc")) || got.Size != 6 {
		t.Fatalf("target %+v, %v", got, err)
	}
	all, err := c.Targets(ctx, "app/wallet")
	if err != nil || len(all) != 1 {
		t.Fatalf("targets %+v, %v", all, err)
	}
	s.now = s.now.Add(time.Hour)
	s.release("wallet", "r2.def")
	if _, err := c.Refresh(ctx, trust.DirSource(s.dir), client.RefreshOptions{}); err != nil {
		t.Fatal(err)
	}
	if all, err = c.Targets(ctx, "app/wallet"); err != nil || len(all) != 2 {
		t.Fatalf("targets %+v, %v", all, err)
	}
	hist, err := s.History("app/wallet")
	if err != nil || len(hist) != 2 || hist[0].Version != 2 || len(hist[0].Targets) != 2 {
		t.Fatalf("history %+v, %v", hist, err)
	}
	names, err := s.Names()
	if err != nil {
		t.Fatal(err)
	}
	stick := t.TempDir()
	for _, n := range names {
		b, err := s.Metadata(ctx, n, trust.MaxTargets)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(stick, n), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	other, err := client.Open(t.TempDir(), client.Options{Clock: clock.At(time.Unix(0, 0))})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Pin(ctx, trust.DirSource(stick), s.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	if f, err := other.Refresh(ctx, trust.DirSource(stick), client.RefreshOptions{Offline: true}); err != nil || f.Known {
		t.Fatalf("offline refresh: %+v, %v", f, err)
	}
	if _, err := other.Target(ctx, "app/wallet/r2.def"); err != nil {
		t.Fatal(err)
	}
}
