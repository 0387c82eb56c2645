package keys_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust/keys"
)

// A key file holds one key of ours: no second one behind it, none of another kind, and not more than a key has.
func TestFilesThatAreNotOneKey(t *testing.T) {
	dir := t.TempDir()
	k := openKeys(t, dir, keys.Options{})
	if _, err := k.New("ann", nil); err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile(filepath.Join(dir, "ann.pub"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(other.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"two keys":        append(bytes.Clone(pub), pub...),
		"another kind":    pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"a long preamble": append(bytes.Repeat([]byte("x\n"), 20<<10), pub...),
	} {
		if _, err := keys.ParsePublic(b); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(dir, "ann.key")
	priv, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(priv, priv...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Signer("ann"); err == nil {
		t.Error("two private keys are taken for one")
	}
}

// A name is that of a file in the folder of keys, and one that somebody else's key has is taken.
func TestNamesOfKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := openKeys(t, dir, keys.Options{})
	pub, err := k.New("ann", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../ann", "a/b", "", ".hidden"} {
		if err := k.Import(name, pub); errs.KindOf(err) != errs.Invalid {
			t.Errorf("import %q: %v", name, err)
		}
		if _, err := k.Public(name); errs.KindOf(err) != errs.Invalid {
			t.Errorf("public %q: %v", name, err)
		}
	}
	if err := k.Import("ben", pub); err != nil {
		t.Fatal(err)
	}
	if _, err := k.New("ben", nil); errs.KindOf(err) != errs.Conflict {
		t.Errorf("a key over another's: %v", err)
	}
}

// A passphrase is asked for once when it fits several keys; a wrong one changes nothing.
func TestAPassphraseOfSeveralKeys(t *testing.T) {
	const work = 10
	dir := t.TempDir()
	made := openKeys(t, dir, keys.Options{Work: work})
	for _, name := range []string{"ann", "ben"} {
		if _, err := made.New(name, []byte("secret")); err != nil {
			t.Fatal(err)
		}
	}
	asked, say := 0, "wrong"
	k := openKeys(t, dir, keys.Options{Work: work, Asks: keys.Asks{Passphrase: func(string) ([]byte, error) { asked++; return []byte(say), nil }}})
	before, err := os.ReadFile(filepath.Join(dir, "ann.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Relock("ann", []byte("mine")); errs.KindOf(err) != errs.Denied {
		t.Errorf("locked anew by a stranger: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "ann.key")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has changed: %v", err)
	}
	asked, say = 0, "secret"
	for _, name := range []string{"ann", "ben"} {
		if _, err := k.Signer(name); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// Keys are made on a file system without hard links too, and what is put aside is closed to others.
func TestKeysWithoutHardLinks(t *testing.T) {
	dir := t.TempDir()
	k := openKeys(t, dir, keys.Options{FS: fsx.FS{Before: func(op fsx.Op) error {
		if op.Name == "link" {
			return syscall.EPERM
		}
		return nil
	}}})
	if _, err := k.New("ann", nil); err != nil {
		t.Fatal(err)
	}
	k = openKeys(t, dir, keys.Options{})
	old, err := k.Public("ann")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Successor("ann", nil); err != nil {
		t.Fatal(err)
	}
	if err := k.Retire("ann", old); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "retired")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}
