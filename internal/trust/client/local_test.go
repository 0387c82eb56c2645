package client_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/testkit/attack"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

// tear leaves files of the node as a power cut may: empty.
func (v *victim) tear(names ...string) {
	v.t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(v.dir, name), nil, 0o644); err != nil {
			v.t.Fatal(err)
		}
	}
}

func parent(dir string) string { return filepath.Dir(dir) }

// tree returns every file below dir, by its path from there.
func tree(t *testing.T, dir string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out[rel] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var damages = map[string]func(b []byte) []byte{
	"zero bytes": func([]byte) []byte { return []byte{} },
	"truncated":  func(b []byte) []byte { return b[:len(b)/2] },
	"garbage":    func(b []byte) []byte { return bytes.Repeat([]byte{0xff, 0x00, 0x7b}, len(b)/3) },
	"flipped": func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 1
		return b
	},
	"missing": func([]byte) []byte { return nil },
}

// TestDamagedLocalFile damages each file of a node in each way: it goes on with the same pin, and
// still refuses what is older than what it had verified.
func TestDamagedLocalFile(t *testing.T) {
	t.Parallel()
	p := attack.New(day0)
	p.Delegate("targets", "app/wallet", "app/wallet/*")
	p.Put("app/wallet", "app/wallet/r1", "one")
	p.Publish("targets", "app/wallet")
	old := p.Files()
	p.PublishRoot()
	p.Publish("targets", "app/wallet")
	current := p.Files()

	v := newVictim(t, p)
	v.accepts(p)
	v.says("app/wallet/r1", "one")
	pin := v.Fingerprint()
	files := tree(t, v.dir)
	for _, want := range []string{"1.root.json", "2.root.json", "seen.a", "seen.b", "timestamp.json", "snapshot.json", "targets.json", "roles/app%2Fwallet.json"} {
		if !files[want] {
			t.Fatalf("no %s in %v", want, files)
		}
	}
	delete(files, "lock") // its content is for people
	for name := range files {
		for how, damage := range damages {
			path := filepath.Join(v.dir, name)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			spoil := func() {
				if b := damage(whole); b == nil {
					err = os.Remove(path)
				} else {
					err = os.WriteFile(path, b, 0o644)
				}
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
			}
			spoil()
			v.reopen()
			p.SetFiles(old)
			if _, err := v.Refresh(context.Background(), p, client.RefreshOptions{}); errs.KindOf(err) != errs.Untrusted {
				t.Errorf("%s %s: an older state was accepted: %v", name, how, err)
			}
			spoil()
			v.reopen()
			p.SetFiles(current)
			v.accepts(p)
			v.says("app/wallet/r1", "one")
			if v.Fingerprint() != pin {
				t.Fatalf("%s %s: pinned anew", name, how)
			}
		}
	}
}

// TestDamagedBeyondRepair loses both copies of what was seen: nothing is
// trusted until a person pins again.
func TestDamagedBeyondRepair(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	v.accepts(p)
	pin := v.Fingerprint()
	v.tear("seen.a", "seen.b")
	v.reopen()
	if v.Pinned() {
		t.Error("still pinned")
	}
	err := v.refuses(p, trust.ErrDamaged)
	if errs.HintOf(err) == "" {
		t.Error("no hint")
	}
	if err := v.Pin(context.Background(), p, pin); err != nil {
		t.Fatal(err)
	}
	v.accepts(p)
}

func TestDamagedPinnedRootIsRestoredByFingerprintOnly(t *testing.T) {
	p, stranger := attack.New(day0), attack.New(day0)
	v := newVictim(t, p)
	v.accepts(p)
	v.tear("1.root.json")
	v.reopen()
	v.refuses(stranger, trust.ErrDamaged)
	v.refuses(nil, trust.ErrDamaged)
	v.accepts(p)

	// A root that is whole, and another operator's, is not the pinned one either.
	if err := os.WriteFile(filepath.Join(v.dir, "1.root.json"), stranger.Files()["1.root.json"], 0o644); err != nil {
		t.Fatal(err)
	}
	v.reopen()
	v.refuses(stranger, trust.ErrDamaged)
	v.accepts(p)
}

// failAt makes the n-th change of the disk, and every one after it, fail: the process died there.
func failAt(n int) (fsx.FS, *int) {
	count := 0
	return fsx.FS{Before: func(fsx.Op) error {
		count++
		if n > 0 && count >= n {
			return errCrash
		}
		return nil
	}}, &count
}

var errCrash = errors.New("the machine lost its power")

// TestCrashDuringRefresh stops a node's Refresh, with a root rotation and new roles,
// before each change of its disk.
func TestCrashDuringRefresh(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	points := 0
	for n := 1; ; n++ {
		p := attack.New(day0)
		p.Delegate("targets", "app/wallet", "app/wallet/*")
		p.Put("app/wallet", "app/wallet/r1", "one")
		p.Publish("targets", "app/wallet")
		v := newVictim(t, p)
		v.accepts(p)
		v.says("app/wallet/r1", "one")
		old := p.Files()
		p.PublishRoot()
		p.Replace("timestamp", attack.NewKey())
		p.PublishRoot()
		p.Put("app/wallet", "app/wallet/r1", "two")
		p.Publish("targets", "app/wallet")

		fsys, count := failAt(n)
		c, err := client.Open(v.dir, client.Options{FS: fsys, Clock: func() time.Time { return day0 }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Refresh(ctx, p, client.RefreshOptions{}); err == nil {
			_, err = c.Target(ctx, "app/wallet/r1")
		}
		if *count < n {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		points++
		if !errors.Is(err, errCrash) {
			t.Fatalf("operation %d of the disk failed, and Refresh said %v", n, err)
		}
		// Restarted with nothing but its disk: the old state, or the new
		// one, or an honest "ask somebody".
		v.reopen()
		if _, err := v.Refresh(ctx, nil, client.RefreshOptions{}); err == nil {
			if got, err := v.Target(ctx, "app/wallet/r1"); err != nil && errs.KindOf(err) != errs.Unavailable {
				t.Fatalf("after a crash at operation %d: %+v, %v", n, got, err)
			}
		} else if errs.KindOf(err) != errs.Unavailable {
			t.Fatalf("after a crash at operation %d: %v", n, err)
		}
		v.reopen()
		v.accepts(p)
		v.says("app/wallet/r1", "two")
		p.SetFiles(old)
		if _, err := v.Refresh(ctx, p, client.RefreshOptions{}); errs.KindOf(err) != errs.Untrusted {
			t.Fatalf("after a crash at operation %d an older state was accepted: %v", n, err)
		}
		for name := range tree(t, v.dir) {
			if filepath.Base(name)[0] == '.' {
				t.Errorf("left behind: %s", name)
			}
		}
	}
	t.Logf("crash points tried: %d", points)
	if points < 20 {
		t.Errorf("only %d crash points: the hook is not reached", points)
	}
}

// TestCrashDuringPin stops the first installation before each change of
// the disk: pinned, or not at all.
func TestCrashDuringPin(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := attack.New(day0)
	fp := mustFingerprint(t, p.Files()["1.root.json"])
	for n := 1; ; n++ {
		dir := filepath.Join(t.TempDir(), "trust")
		fsys, count := failAt(n)
		c, err := client.Open(dir, client.Options{FS: fsys})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Pin(ctx, p, fp)
		if *count < n {
			if err != nil || n < 10 {
				t.Fatalf("%d operations, %v", *count, err)
			}
			return
		}
		again, err := client.Open(dir, client.Options{Clock: func() time.Time { return day0 }})
		if err != nil {
			t.Fatal(err)
		}
		if again.Pinned() && again.Fingerprint() != fp {
			t.Fatalf("operation %d: pinned to %s", n, again.Fingerprint())
		}
		if err := again.Pin(ctx, p, fp); err != nil {
			t.Fatalf("operation %d: %v", n, err)
		}
		if _, err := again.Refresh(ctx, p, client.RefreshOptions{}); err != nil {
			t.Fatalf("operation %d: %v", n, err)
		}
	}
}

func TestUnchangedPollWritesNothing(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	v.accepts(p)
	fsys, count := failAt(0)
	c, err := client.Open(v.dir, client.Options{FS: fsys, Clock: func() time.Time { return day0.Add(10 * time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	p.Requests()
	if _, err := c.Refresh(context.Background(), p, client.RefreshOptions{}); err != nil {
		t.Fatal(err)
	}
	if *count != 0 {
		t.Errorf("%d changes of the disk", *count)
	}
	if asked := p.Requests(); len(asked) != 2 {
		t.Errorf("asked for %v; want the next root and timestamp", asked)
	}
}
