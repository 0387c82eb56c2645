package trust

import (
	"os"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/trust"
	"overland/internal/trust/keys"
)

// An operator who stands in somebody else's checkout, which holds a file alice, means the key alice
// of this machine: a file's key is taken only where no key here has that name.
func TestAFileOfACheckoutIsNotAKeyOfThisMachine(t *testing.T) {
	t.Chdir(t.TempDir())
	have, err := keys.Open(t.TempDir(), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	alice, err := have.New("alice", nil)
	if err != nil {
		t.Fatal(err)
	}
	others, err := keys.Open(t.TempDir(), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mallory, err := others.New("mallory", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "mallory", "alice.pub", "broken"} {
		if err := os.WriteFile(name, keys.EncodePublic(mallory.Key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]trust.PublicKey{"alice": alice, "./alice": mallory, "mallory": mallory, "alice.pub": mallory} {
		if got, err := publicKey(have, name); err != nil || got.ID != want.ID {
			t.Errorf("%s: key %.12s, %v, want %.12s", name, got.ID, err, want.ID)
		}
	}
	// So with a file that has the id of a key as its name: the key with that id would stay a signer.
	if err := os.WriteFile(alice.ID, keys.EncodePublic(mallory.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]trust.PublicKey{"alice": alice, "mallory": mallory, alice.ID: alice, "./" + alice.ID: mallory} {
		if id, err := keyID(have, name); err != nil || id != want.ID {
			t.Errorf("%s: id %.12s, %v, want %.12s", name, id, err, want.ID)
		}
	}
	// A damaged key of this machine does not let a file of the checkout take its place.
	if err := os.WriteFile(strings.TrimSuffix(have.Path("broken"), ".key")+".pub", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := publicKey(have, "broken"); err == nil {
		t.Errorf("broken: key %.12s, want an error", got.ID)
	}
	if _, err := publicKey(have, "nobody"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("nobody: %v", err)
	}
}
