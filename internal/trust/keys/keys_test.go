package keys_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/keys"
)

func openKeys(t *testing.T, dir string, o keys.Options) *keys.Dir {
	t.Helper()
	k, err := keys.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// work is scrypt's work where a test does not need it to be slow.
const work = 10

func TestKeyFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := openKeys(t, dir, keys.Options{})
	pub, err := k.New("root", nil)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]os.FileMode{"root.key": 0o600, "root.pub": 0o644, ".": 0o700} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %o", file, info.Mode(), err, want)
		}
	}
	if _, err := k.New("root", nil); errs.KindOf(err) != errs.Conflict || errs.HintOf(err) == "" {
		t.Errorf("second key of that name: %v", err)
	}
	s, err := openKeys(t, dir, keys.Options{}).Signer("root")
	if err != nil {
		t.Fatal(err)
	}
	sig, err := s.Sign([]byte("message"))
	if err != nil || !ed25519.Verify(pub.Key, []byte("message"), sig) || s.Public().ID != pub.ID {
		t.Error("the signature does not verify")
	}
	list, err := k.List()
	if err != nil || len(list) != 1 || list[0] != (trust.KeyInfo{Name: "root", ID: pub.ID, Private: true}) {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := k.Signer("nobody"); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"", "../root", "a/b", ".hidden", "a b", strings.Repeat("a", 65), "ü"} {
		if _, err := k.New(name, nil); errs.KindOf(err) != errs.Invalid {
			t.Errorf("key name %q: %v", name, err)
		}
	}
}

func TestKeyWithPassphrase(t *testing.T) {
	dir := t.TempDir()
	pub, err := openKeys(t, dir, keys.Options{Work: work}).New("root", []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "root.key"))
	if err != nil || !bytes.HasPrefix(b, []byte("-----BEGIN AGE ENCRYPTED FILE-----\n")) {
		t.Fatalf("%s, %v", b, err)
	}
	asked := 0
	k := openKeys(t, dir, keys.Options{Asks: keys.Asks{Passphrase: func(string) ([]byte, error) { asked++; return []byte("correct horse"), nil }}})
	for range 3 {
		if s, err := k.Signer("root"); err != nil || s.Public().ID != pub.ID {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	wrong := openKeys(t, dir, keys.Options{Asks: keys.Asks{Passphrase: func(string) ([]byte, error) { return []byte("wrong"), nil }}})
	if _, err := wrong.Signer("root"); errs.KindOf(err) != errs.Denied {
		t.Errorf("wrong passphrase: %v", err)
	}
	gone := errors.New("no terminal")
	silent := openKeys(t, dir, keys.Options{Asks: keys.Asks{Passphrase: func(string) ([]byte, error) { return nil, gone }}})
	if _, err := silent.Signer("root"); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	none := openKeys(t, dir, keys.Options{})
	if _, err := none.Signer("root"); errs.KindOf(err) != errs.Denied {
		t.Errorf("no passphrase: %v", err)
	}
	if list, err := none.List(); err != nil || !list[0].Locked {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestPrivateKeyThatOthersMayRead(t *testing.T) {
	dir := t.TempDir()
	if _, err := openKeys(t, dir, keys.Options{}).New("root", nil); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o644, 0o660, 0o666} {
		if err := os.Chmod(filepath.Join(dir, "root.key"), mode); err != nil {
			t.Fatal(err)
		}
		_, err := openKeys(t, dir, keys.Options{}).Signer("root")
		if errs.KindOf(err) != errs.Denied || !strings.Contains(errs.HintOf(err), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestPrivateKeyWhereAPublicOneBelongs(t *testing.T) {
	for _, passphrase := range []string{"", "secret"} {
		dir := t.TempDir()
		k := openKeys(t, dir, keys.Options{Work: work})
		if _, err := k.New("root", []byte(passphrase)); err != nil {
			t.Fatal(err)
		}
		secret, err := os.ReadFile(filepath.Join(dir, "root.key"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.ParsePublic(secret); errs.KindOf(err) != errs.Denied || errs.HintOf(err) == "" {
			t.Errorf("private key taken as public: %v", err)
		} else if strings.Contains(err.Error(), string(secret[40:60])) {
			t.Error("the secret is in the message")
		}
		if err := os.WriteFile(filepath.Join(dir, "root.pub"), secret, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Public("root"); errs.KindOf(err) != errs.Denied {
			t.Errorf("%v", err)
		}
	}
}

func TestHalvesOfDifferentKeys(t *testing.T) {
	dir := t.TempDir()
	k := openKeys(t, dir, keys.Options{})
	for _, name := range []string{"a", "b"} {
		if _, err := k.New(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(dir, "a.pub"), filepath.Join(dir, "b.pub")); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Signer("b"); errs.KindOf(err) != errs.Denied {
		t.Errorf("%v", err)
	}
	// a has lost its public half: it is made anew from the private one.
	if _, err := k.Signer("a"); err != nil {
		t.Errorf("%v", err)
	}
}

func TestImportKey(t *testing.T) {
	other := openKeys(t, t.TempDir(), keys.Options{})
	pub, err := other.New("ben", nil)
	if err != nil {
		t.Fatal(err)
	}
	k := openKeys(t, filepath.Join(t.TempDir(), "keys"), keys.Options{})
	for range 2 {
		if err := k.Import("ben", pub); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := k.List(); err != nil || len(list) != 1 || list[0].Private {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := k.Signer("ben"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("%v", err)
	}
	cem, err := other.New("cem", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Import("ben", cem); errs.KindOf(err) != errs.Conflict {
		t.Errorf("%v", err)
	}
}

func TestCrashWhileMakingAKey(t *testing.T) {
	for n := 1; ; n++ {
		dir := filepath.Join(t.TempDir(), "keys")
		fsys, count := failAt(n)
		_, err := openKeys(t, dir, keys.Options{FS: fsys}).New("root", nil)
		if *count < n {
			if err != nil || n < 8 {
				t.Fatalf("%d operations, %v", *count, err)
			}
			return
		}
		k := openKeys(t, dir, keys.Options{})
		if _, err := k.Signer("root"); err != nil {
			if _, err := k.New("root", nil); err != nil {
				t.Fatalf("operation %d: neither there nor can be made: %v", n, err)
			}
		}
	}
}

// failAt makes the n-th change of the disk, and every one after it, fail: the process died there.
func failAt(n int) (fsx.FS, *int) {
	count := 0
	return fsx.FS{Before: func(fsx.Op) error {
		count++
		if n > 0 && count >= n {
			return errors.New("the machine lost its power")
		}
		return nil
	}}, &count
}
