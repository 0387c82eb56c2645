package session_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/session"
)

// Files of a project that move a package manager's store cannot make a lock with holes: the session's variables
// override them, or what the store holds already is named.
func TestStoresThatAProjectMoves(t *testing.T) {
	work, store := t.TempDir(), t.TempDir()
	bin := t.TempDir() // no tool is asked where it fetches from
	if err := os.Symlink("/bin/sh", filepath.Join(bin, "sh")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("HOME", t.TempDir())
	run := func(all map[string]string) (string, []error) {
		t.Helper()
		files(t, work, all)
		o, out := newOptions(t, `echo "npm $npm_config_store_dir yarn $YARN_CACHE_FOLDER"`)
		o.WorkDir = filepath.Join(work, "project")
		res, err := session.Record(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return out.String(), res.Unrecorded
	}
	if out, bad := run(map[string]string{"project/package.json": "{}"}); out != "npm  yarn \n" || len(bad) != 0 {
		t.Errorf("nothing is moved: %q, %v", out, bad)
	}
	out, bad := run(map[string]string{
		".npmrc": "store-dir=" + store + "\n", "project/.yarnrc": "cache-folder \"" + store + "\"\n", "project/pnpm-workspace.yaml": "packages: []\nstoreDir: " + store + "\n",
	})
	if !strings.Contains(out, "/pnpm/store yarn ") || !strings.HasSuffix(out, "/yarn/cache\n") || len(bad) != 0 {
		t.Errorf("the stores hold nothing: %q, %v", out, bad)
	}
	files(t, store, map[string]string{"v10/a": "a"})
	_, bad = run(map[string]string{"project/.yarnrc": "--install.cache-folder \"" + store + "\"\n"})
	if len(bad) != 2 || !strings.Contains(bad[0].Error(), ".yarnrc keeps") || !strings.Contains(bad[1].Error(), "pnpm-workspace.yaml keeps") {
		t.Errorf("%v", bad)
	}
}
