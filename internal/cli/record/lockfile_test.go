package record

import (
	"os"
	"path/filepath"
	"testing"
)

// What is recorded in a sub-folder is locked where build reads it, unless a lock is there.
func TestTheLockOfASubFolder(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{".git", "backend/cmd", "nested/.git", "own"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(top, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("own/overland.lock")
	lock := func(dir, named, want string) {
		t.Helper()
		t.Chdir(filepath.Join(top, dir))
		if got := lockOf(named); got != want {
			t.Errorf("in %q: %s, want %s", dir, got, want)
		}
	}
	lock("backend/cmd", "", "overland.lock") // nothing says that Overland builds this repository
	write("overland.yaml")
	lock(".", "", "overland.lock")
	lock("backend", "", "../overland.lock")
	lock("backend/cmd", "", "../../overland.lock")
	lock("backend/cmd", "x.lock", "x.lock")
	lock("own", "", "overland.lock")
	lock("nested", "", "overland.lock") // a repository of its own
}
