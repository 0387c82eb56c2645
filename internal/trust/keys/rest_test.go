package keys_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"overland/internal/errs"
	"overland/internal/trust"
	"overland/internal/trust/keys"
)

// says is a person who types passphrase.
func says(passphrase string) func(string) ([]byte, error) {
	return func(string) ([]byte, error) { return []byte(passphrase), nil }
}

// A locked key is a file of age's: its own program gives back the plain key file.
func TestALockedKeyIsAnAgeFile(t *testing.T) {
	dir := t.TempDir()
	pub := made(t)(openKeys(t, dir, keys.Options{Work: work}).New("alice", []byte("secret")))
	b, err := os.ReadFile(filepath.Join(dir, "alice.key"))
	if err != nil {
		t.Fatal(err)
	}
	who, err := age.NewScryptIdentity("secret")
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(b)), who)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "alice.key"), plain, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := openKeys(t, other, keys.Options{}).Signer("alice"); err != nil || s.Public().ID != pub.ID {
		t.Errorf("%v", err)
	}
	// A file that asks for more work than anybody has is refused.
	block, _ := pem.Decode(b)
	dear := bytes.Replace(block.Bytes, []byte(" 10\n"), []byte(" 21\n"), 1)
	if bytes.Equal(dear, block.Bytes) {
		t.Fatalf("no work factor in %q", block.Bytes[:80])
	}
	dear = pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: dear})
	if err := os.WriteFile(filepath.Join(other, "alice.key"), dear, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openKeys(t, other, keys.Options{Asks: keys.Asks{Passphrase: says("secret")}}).Signer("alice"); errs.KindOf(err) != errs.Denied {
		t.Errorf("2 GiB of scrypt: %v", err)
	}
}

// What earlier versions encrypted is read.
func TestTheOldFormIsRead(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := encrypted.Encrypt(der, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "old.key")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "OVERLAND ENCRYPTED PRIVATE KEY", Bytes: locked}), 0o600); err != nil {
		t.Fatal(err)
	}
	k := openKeys(t, dir, keys.Options{Work: work, Asks: keys.Asks{Passphrase: says("secret")}})
	s, err := k.Signer("old")
	if err != nil || !s.Public().Key.Equal(pub) {
		t.Fatalf("%v", err)
	}
	// It becomes today's form when its passphrase is changed.
	if err := k.Relock("old", []byte("other")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || !bytes.Contains(b, []byte("AGE ENCRYPTED FILE")) {
		t.Errorf("%s, %v", b, err)
	}
	if _, err := openKeys(t, dir, keys.Options{Asks: keys.Asks{Passphrase: says("secret")}}).Signer("old"); errs.KindOf(err) != errs.Denied {
		t.Errorf("the passphrase of before: %v", err)
	}
	if _, err := openKeys(t, dir, keys.Options{Asks: keys.Asks{Passphrase: says("other")}}).Signer("old"); err != nil {
		t.Error(err)
	}
}

// A key that is made where somebody can be asked is encrypted with what that one says.
func TestANewKeyAsksForItsPassphrase(t *testing.T) {
	dir := t.TempDir()
	asked := 0
	who := keys.Asks{NewPassphrase: func(string) ([]byte, error) { asked++; return []byte("secret"), nil }}
	k := openKeys(t, dir, keys.Options{Work: work, Asks: who})
	pub := made(t)(k.New("alice", nil))
	made(t)(k.New("plain", []byte{}))
	list, err := k.List()
	if err != nil || asked != 1 || !list[0].Locked || list[1].Locked {
		t.Fatalf("asked %d times, %+v, %v", asked, list, err)
	}
	// Whoever has just chosen it is not asked again, not even for another key that shares it.
	if s, err := k.ByID(pub.ID); err != nil || s == nil {
		t.Errorf("%v", err)
	}
	other := openKeys(t, dir, keys.Options{Work: work})
	made(t)(other.New("bob", []byte("secret")))
	if s, err := k.Signer("bob"); err != nil || s == nil {
		t.Errorf("%v", err)
	}
}

// Private halves of root keys lie in a folder that can be carried away, and are found there again.
func TestTheRootKeyLiesApart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	stick := filepath.Join(t.TempDir(), "stick")
	k := openKeys(t, dir, keys.Options{Root: stick, Work: work})
	root, second, online := made(t)(k.New("root", nil)), made(t)(k.NewRoot("second", []byte("s"))), made(t)(k.New("online", nil))
	for _, name := range []string{"root", "second"} {
		if _, err := os.Stat(filepath.Join(dir, name+".key")); err == nil {
			t.Errorf("%s.key lies beside online.key", name)
		}
		if info, err := os.Stat(filepath.Join(stick, name+".key")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := os.Stat(stick); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := k.New("second", nil); errs.KindOf(err) != errs.Conflict {
		t.Errorf("a second one of that name: %v", err)
	}
	if s, err := k.ByID(root.ID); err != nil || s == nil {
		t.Errorf("%v", err)
	}
	away := openKeys(t, dir, keys.Options{Root: filepath.Join(t.TempDir(), "nothing")})
	if s, err := away.ByID(root.ID); err != nil || s != nil {
		t.Errorf("a key that was carried away signs: %v, %v", s, err)
	}
	list, err := away.List()
	want := []trust.KeyInfo{{Name: "online", ID: online.ID, Private: true}, {Name: "root", ID: root.ID}, {Name: "second", ID: second.ID}}
	if err != nil || len(list) != 3 || list[0] != want[0] || list[1] != want[1] || list[2] != want[2] {
		t.Errorf("%+v, %v", list, err)
	}
	// Rotated, it stays there.
	next := made(t)(k.Successor("root", nil))
	if err := k.Retire("root", root); err != nil {
		t.Fatal(err)
	}
	if s, err := openKeys(t, dir, keys.Options{Root: stick}).Signer("root"); err != nil || s.Public().ID != next.ID {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "root.key")); err == nil {
		t.Error("the successor lies beside online.key")
	}
}

// TestS25RetiredKeysStayInTheClear: what was rotated away is gone, or needs its passphrase.
func TestS25RetiredKeysStayInTheClear(t *testing.T) {
	for name, passphrase := range map[string]string{"plain": "", "locked": "secret"} {
		dir := t.TempDir()
		k := openKeys(t, dir, keys.Options{Work: work})
		old := made(t)(k.New(name, []byte(passphrase)))
		made(t)(k.Successor(name, []byte(passphrase)))
		for range 2 {
			if err := k.Retire(name, old); err != nil {
				t.Fatal(err)
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, "retired", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil || bytes.Contains(b, []byte("OVERLAND PRIVATE KEY")) {
				t.Errorf("%s is in the clear, %v", file, err)
			}
		}
		if want := map[string]int{"plain": 1, "locked": 2}[name]; len(files) != want {
			t.Errorf("%s: %v; want %d files", name, files, want)
		}
	}
}
