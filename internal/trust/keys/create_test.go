package keys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Of two processes that make one key at the same moment, the second leaves the first one's as it is.
func TestAKeyIsNotMadeOverAnother(t *testing.T) {
	dir := t.TempDir()
	k, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ann.key")
	if err := k.create(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.create(path, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the second: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "first" {
		t.Errorf("%q, %v", b, err)
	}
}
