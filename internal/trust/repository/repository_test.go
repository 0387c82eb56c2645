package repository

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/trust/keys"
)

func TestInitTwice(t *testing.T) {
	s := newSite(t, InitOptions{})
	_, err := Init(context.Background(), Dir(s.dir, fsx.FS{}), s.keys, InitOptions{})
	if errs.KindOf(err) != errs.Conflict {
		t.Fatalf("%v", err)
	}
	if _, err := Open(context.Background(), Dir(t.TempDir(), fsx.FS{}), s.keys, Options{}); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Fatalf("%v", err)
	}
}

func TestInitWithClockAt1970(t *testing.T) {
	keys, err := keys.Open(t.TempDir(), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := InitOptions{Options: Options{Clock: func() time.Time { return time.Unix(0, 0) }}}
	if _, err := Init(context.Background(), Dir(t.TempDir(), fsx.FS{}), keys, o); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Fatalf("%v", err)
	}
}

func TestSigningTimeNeverFalls(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.now = day0.Add(48 * time.Hour)
	s.release("wallet", "r1")
	s.now = time.Unix(0, 0)
	s.release("wallet", "r2")
	info, err := s.Show(context.Background())
	if err != nil || !info.SignedAt.Equal(day0.Add(48*time.Hour)) {
		t.Fatalf("signed at %v, %v", info.SignedAt, err)
	}
}

func TestChangeThatFailsChangesNothing(t *testing.T) {
	s := newSite(t, InitOptions{})
	before, ann := tree(t, s.dir), s.newKey("ann")
	boom := errors.New("boom")
	if err := s.SetTargets(context.Background(), "app/wallet", func(trust.Signed, map[string]trust.TargetFile) error { return boom }); !errors.Is(err, boom) {
		t.Fatalf("%v", err)
	}
	for name, f := range map[string]trust.TargetFile{
		"wallet":         {Digest: digest.Of(nil)},
		"app/other/r1":   {Digest: digest.Of(nil)},
		"app/wallet":     {Digest: digest.Of(nil)},
		"app/wallet/":    {Digest: digest.Of(nil)},
		"app/wallet/ok":  {},
		"app/wallet/a/b": {Digest: digest.Of(nil)},
		"app/wallet/" + strings.Repeat("a", trust.LongestName): {Digest: digest.Of(nil)},
		"app/wallet/r2": {Digest: digest.Of(nil), Size: -1},
		"app/wallet/r3": {Digest: digest.Of(nil), Custom: []byte("{")},
		"app/wallet/r4": {Digest: digest.Of(nil), Custom: []byte(`"` + strings.Repeat("a", trust.MaxTargets) + `"`)},
	} {
		err := s.SetTargets(context.Background(), "app/wallet", func(_ trust.Signed, m map[string]trust.TargetFile) error { m[name] = f; return nil })
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s %+v: %v", name, f, err)
		}
	}
	for _, role := range []string{"", "root", "targets", "snapshot", "app/*", "../x", "app//x", "/app", "app/", "app/a\x00", strings.Repeat("a", 129)} {
		if err := s.SetTargets(context.Background(), role, put(role+"/x", "x")); errs.KindOf(err) != errs.Invalid {
			t.Errorf("role %q: %v", role, err)
		}
		if trust.TopLevel(role) {
			continue
		}
		if err := s.AddSigner(context.Background(), role, ann, 0); errs.KindOf(err) != errs.Invalid {
			t.Errorf("a signer of role %q: %v", role, err)
		}
	}
	if err := s.AddSigner(context.Background(), "channel/live", trust.PublicKey{ID: "ab"}, 0); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a signer without a key: %v", err)
	}
	if diff := cmp.Diff(before, tree(t, s.dir)); diff != "" {
		t.Error(diff)
	}
}

func TestSameChangeWritesNothing(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.release("wallet", "r1")
	before := tree(t, s.dir)
	s.now = s.now.Add(time.Hour)
	s.release("wallet", "r1")
	if diff := cmp.Diff(before, tree(t, s.dir)); diff != "" {
		t.Error(diff)
	}
}

// TestCrashDuringPublishing stops a publisher before each change of its disk. What nodes then get
// is the old state or the new one, and the next change goes through.
func TestCrashDuringPublishing(t *testing.T) {
	ctx := context.Background()
	steps := map[string]func(r *Repository) error{
		"first release of an app": func(r *Repository) error { return r.SetTargets(ctx, "app/new", put("app/new/r1", "one")) },
		"release":                 func(r *Repository) error { return r.SetTargets(ctx, "app/wallet", put("app/wallet/r2", "two")) },
		"rotate online": func(r *Repository) error {
			_, err := r.RotateKey(ctx, KeyOnline, nil)
			return err
		},
		"rotate root":    func(r *Repository) error { _, err := r.RotateKey(ctx, KeyRoot, nil); return err },
		"rotate targets": func(r *Repository) error { _, err := r.RotateKey(ctx, KeyTargets, nil); return err },
		"rotate release": func(r *Repository) error { _, err := r.RotateKey(ctx, KeyRelease, nil); return err },
		"refresh":        func(r *Repository) error { return r.Refresh(ctx) },
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := newSite(t, InitOptions{})
			base.release("wallet", "r1")
			now := base.now
			if name == "refresh" {
				now = now.Add(400 * day)
			}
			follow := func(dir string) *client.Client {
				node, err := client.Open(dir, client.Options{Clock: func() time.Time { return now }})
				if err != nil {
					t.Fatal(err)
				}
				return node
			}
			// A node that followed from the start, and must get over whatever it finds.
			followed := filepath.Join(t.TempDir(), "node")
			node := follow(followed)
			if err := node.Pin(ctx, base, base.Fingerprint()); err != nil {
				t.Fatal(err)
			}
			if _, err := node.Refresh(ctx, base, client.RefreshOptions{Offline: true}); err != nil {
				t.Fatal(err)
			}
			for n := 1; ; n++ {
				dir := t.TempDir()
				copyTree(t, base.dir, filepath.Join(dir, "trust"))
				copyTree(t, base.keyDir, filepath.Join(dir, "keys"))
				copyTree(t, followed, filepath.Join(dir, "node"))
				node := follow(filepath.Join(dir, "node"))
				fsys, count := failAt(n)
				open := func(fsys fsx.FS) *site {
					keys, err := keys.Open(filepath.Join(dir, "keys"), keys.Options{FS: fsys})
					if err != nil {
						t.Fatal(err)
					}
					r, err := Open(ctx, Dir(filepath.Join(dir, "trust"), fsys), keys,
						Options{Clock: func() time.Time { return now }})
					if err != nil {
						t.Fatalf("operation %d: %v", n, err)
					}
					return &site{Repository: r, keys: keys, dir: filepath.Join(dir, "trust"), now: now, t: t}
				}
				err := step(open(fsys).Repository)
				done := *count < n
				if done && err != nil {
					t.Fatal(err)
				}
				if !done && !errors.Is(err, errCrash) {
					t.Fatalf("operation %d failed, and the publisher said %v", n, err)
				}
				s := open(fsx.FS{})
				if _, err := node.Refresh(ctx, s, client.RefreshOptions{Offline: true}); err != nil {
					t.Fatalf("operation %d: a node cannot follow: %v", n, err)
				}
				if _, err := node.Target(ctx, "app/wallet/r1"); err != nil {
					t.Fatalf("operation %d: the node lost what was released: %v", n, err)
				}
				if err := step(s.Repository); err != nil {
					t.Fatalf("operation %d: the change cannot be repeated: %v", n, err)
				}
				s.release("wallet", "r3")
				if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
					t.Fatalf("operation %d: after repair: %v", n, err)
				}
				if _, err := node.Target(ctx, "app/wallet/r3"); err != nil {
					t.Fatalf("operation %d: after repair: %v", n, err)
				}
				if done {
					t.Logf("crash points tried: %d", n-1)
					if n < 10 {
						t.Errorf("only %d crash points: the hook is not reached", n-1)
					}
					return
				}
			}
		})
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	keys, err := filepath.Glob(filepath.Join(to, "*.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if err := os.Chmod(k, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTwoPublishersAtOnce lets several publishers, each with its own handle as processes have,
// change one repository: nothing is lost, and nodes follow at every moment.
func TestTwoPublishersAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newSite(t, InitOptions{})
	s.release("wallet", "r0")
	const publishers, each = 4, 6
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	readers.Go(func() {
		node, err := client.Open(t.TempDir(), client.Options{Clock: func() time.Time { return day0 }})
		if err == nil {
			err = node.Pin(ctx, s, s.Fingerprint())
		}
		for err == nil {
			select {
			case <-stop:
				return
			default:
			}
			_, err = node.Refresh(ctx, s, client.RefreshOptions{})
		}
		t.Error(err)
	})
	for i := range publishers {
		writers.Go(func() {
			r, err := Open(context.Background(), Dir(s.dir, fsx.FS{}), s.keys, Options{Clock: func() time.Time { return day0 }})
			if err != nil {
				t.Error(err)
				return
			}
			for j := range each {
				version := fmt.Sprintf("r%d-%d", i, j)
				if err := r.SetTargets(ctx, "app/wallet", put("app/wallet/"+version, version)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	got, err := s.Targets("app/wallet")
	if err != nil || len(got) != publishers*each+1 {
		t.Errorf("%d releases, %v; want %d", len(got), err, publishers*each+1)
	}
	hist, err := s.History("app/wallet")
	if err != nil || len(hist) != publishers*each+1 {
		t.Errorf("%d versions, %v", len(hist), err)
	}
}

func TestWaitingForTheOtherPublisherEnds(t *testing.T) {
	s := newSite(t, InitOptions{})
	held, err := fsx.TryLock(filepath.Join(s.dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.SetTargets(ctx, "app/wallet", put("app/wallet/r1", "r1")); errs.KindOf(err) != errs.Conflict {
		t.Fatalf("%v", err)
	}
	if err := held.Unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestRefreshSignsWhatExpires(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newSite(t, InitOptions{})
	s.release("wallet", "r1")
	before := tree(t, s.dir)
	if err := s.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, s.dir)); diff != "" {
		t.Errorf("nothing was due: %s", diff)
	}
	node := newNode(t, s)
	for range 60 {
		s.now = s.now.Add(13 * day)
		if err := s.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := node.Target(ctx, "app/wallet/r1"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefreshNamesKeysThatPeopleHold(t *testing.T) {
	ctx := context.Background()
	s := newSite(t, InitOptions{})
	s.release("wallet", "r1")
	office := s.machine("online")
	s.now = s.now.Add(340 * day)
	err := office.Refresh(ctx)
	if errs.KindOf(err) != errs.Partial || !strings.Contains(err.Error(), "app/wallet") || errs.HintOf(err) == "" {
		t.Fatalf("%v", err)
	}
	node := newNode(t, s)
	if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
		t.Fatalf("what could be signed was not: %v", err)
	}
}

func TestDamagedRepositoryFile(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.release("wallet", "r1")
	names, err := s.Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := filepath.Join(s.dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for how, damage := range damages {
			b := damage(whole)
			if b == nil || (how == "flipped" && (strings.HasSuffix(name, "root.json") || name == "timestamp.json")) {
				continue
			}
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Open(context.Background(), Dir(s.dir, fsx.FS{}), s.keys, Options{})
			if err == nil || errs.HintOf(err) == "" {
				t.Errorf("%s %s: %v", name, how, err)
			}
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.release("wallet", "r2")
}

func TestNamesAreAllThatANodeNeeds(t *testing.T) {
	ctx := context.Background()
	s := newSite(t, InitOptions{})
	s.release("wallet", "r1")
	if _, err := s.RotateKey(ctx, KeyRoot, nil); err != nil {
		t.Fatal(err)
	}
	names, err := s.Names()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1.root.json", "2.root.json", "timestamp.json", "3.snapshot.json", "1.app%2Fwallet.json", "2.targets.json"}
	if len(names) != len(want) {
		t.Errorf("names %v, want the like of %v", names, want)
	}
	stick := filepath.Join(t.TempDir(), "stick")
	if err := os.Mkdir(stick, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := s.Metadata(ctx, name, trust.MaxTargets)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(stick, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// A person may compare with either root.
	for _, root := range []string{"1.root.json", "2.root.json"} {
		b, err := os.ReadFile(filepath.Join(stick, root))
		if err != nil {
			t.Fatal(err)
		}
		c := openNode(t, t.TempDir(), s)
		if err := c.Pin(ctx, trust.DirSource(stick), mustFingerprint(t, b)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Refresh(ctx, trust.DirSource(stick), client.RefreshOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Target(ctx, "app/wallet/r1"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"../keys/root.key", "/etc/passwd", "", ".", "..", "a/b", "lock\x00"} {
		if b, err := s.Metadata(ctx, name, trust.MaxTargets); err == nil {
			t.Errorf("%q: %d bytes", name, len(b))
		}
	}
}
