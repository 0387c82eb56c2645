package keys_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/keys"
)

func open(t *testing.T, dir string, f fsx.FS) *keys.Dir {
	t.Helper()
	k, err := keys.Open(dir, keys.Options{FS: f, Work: work})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func made(t *testing.T) func(trust.PublicKey, error) trust.PublicKey {
	return func(pub trust.PublicKey, err error) trust.PublicKey {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return pub
	}
}

// A key that is signed for survives a power cut: its bytes, then its name, the private half first.
func TestANewKeyIsDurable(t *testing.T) {
	var ops []string
	f := fsx.FS{Before: func(op fsx.Op) error {
		if op.Name != "mkdir" {
			ops = append(ops, op.Name)
		}
		return nil
	}}
	made(t)(open(t, t.TempDir(), f).New("root", nil))
	if got := strings.Join(ops, " "); got != "create write sync link syncdir create write sync rename syncdir" {
		t.Errorf("operations %q", got)
	}
}

// A rotation that was cut off anywhere goes on: no key is lost, and no name stands for two halves.
func TestRetireIsCutOff(t *testing.T) {
	stop := errors.New("stop")
	for n, done := 1, false; !done; n++ {
		dir := t.TempDir()
		k := open(t, dir, fsx.FS{})
		old, next := made(t)(k.New("root", nil)), made(t)(k.Successor("root", nil))
		left := n
		cut := open(t, dir, fsx.FS{Before: func(fsx.Op) error {
			if left--; left == 0 {
				return stop
			}
			return nil
		}})
		err := cut.Retire("root", old)
		done = err == nil
		if err != nil && !errors.Is(err, stop) {
			t.Fatal(err)
		}
		k = open(t, dir, fsx.FS{})
		if made(t)(k.Public("root")).ID == old.ID {
			if again := made(t)(k.Successor("root", nil)); again.ID != next.ID {
				t.Errorf("operation %d: another successor is made", n)
			}
			if err := k.Retire("root", old); err != nil {
				t.Fatalf("operation %d: %v", n, err)
			}
		}
		s, err := k.Signer("root")
		if err != nil || s.Public().ID != next.ID {
			t.Errorf("operation %d: %v", n, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "retired", "root-"+old.ID[:16]+".pub")); err != nil {
			t.Errorf("operation %d: the old key has lost its name: %v", n, err)
		}
	}
}

// A key file that is written over in place is read again.
func TestAKeyFileThatChanges(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, fsx.FS{})
	made(t)(k.New("root", nil))
	other := made(t)(k.New("other", nil))
	made(t)(k.Public("root"))
	b, err := os.ReadFile(filepath.Join(dir, "other.pub"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "root.pub")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	earlier := time.Unix(1_000_000_000, 0) // a copy may keep the time of what it was made of
	if err := os.Chtimes(path, earlier, earlier); err != nil {
		t.Fatal(err)
	}
	if got := made(t)(k.Public("root")); got.ID != other.ID {
		t.Error("the bytes from before are used")
	}
}

// What one person's passphrase unlocked signs for nobody else, and a job that
// cannot ask goes without the key.
func TestAsking(t *testing.T) {
	k := open(t, t.TempDir(), fsx.FS{})
	pub := made(t)(k.New("root", []byte("secret")))
	asked := 0
	person := func(string) ([]byte, error) { asked++; return []byte("secret"), nil }
	one := k.Asking(keys.Asks{Passphrase: person})
	for range 2 {
		if s, err := one.ByID(pub.ID); err != nil || s == nil {
			t.Fatalf("%v, %v", s, err)
		}
	}
	if s, err := one.Asking(keys.Asks{}).ByID(pub.ID); err != nil || s != nil {
		t.Errorf("nobody was asked, and got %v, %v", s, err)
	}
	if s, err := one.Asking(keys.Asks{Passphrase: person}).Signer("root"); err != nil || s == nil || asked != 2 {
		t.Errorf("asked %d times, %v; want each person once", asked, err)
	}
}
