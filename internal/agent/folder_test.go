package agent_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestS17AnApplicationsFolderIsItsOwn: what an older agent left open is closed when the application starts.
func TestS17AnApplicationsFolderIsItsOwn(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.dir, "volumes", "wallet")
	must(t, os.MkdirAll(dir, 0o755))
	must(t, os.Chmod(dir, 0o755))
	w.mustInstall(w.wallet(v1, "up one"))
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o710 {
		t.Errorf("mode %v, want 0710", info.Mode())
	}
}
