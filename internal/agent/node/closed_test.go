package node_test

import (
	"os"
	"path/filepath"
	"testing"

	"overland/internal/agent/node"
)

// S6: an older agent obeyed the umask 077 of a shell and closed the folders of what it staged. The
// next agent opens them, so that services of other users find their programs; files keep their modes.
func TestS6AnOlderAgentsGenerationsAreOpened(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "gen", "1", "bin", "wallet")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(deep, "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(dir, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for path := deep; path != filepath.Dir(dir); path = filepath.Dir(path) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file: %v, %v", info.Mode(), err)
	}
}
