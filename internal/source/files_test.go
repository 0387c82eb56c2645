package source_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"overland/internal/source"
)

// A file is told by its path, mode and content: the same in every commit, in the folder as it is, and in
// a submodule.
func TestFilesAreTheSameInEveryCommit(t *testing.T) {
	r := newRepo(t)
	one := r.commit(map[string]string{"a": "1", "dir/b": "1"})
	two := r.commit(map[string]string{"a": "2"})
	r.git("commit", "-q", "--allow-empty", "-m", "three")
	open := r.open()
	files := func(c source.Commit) []source.File {
		t.Helper()
		list, err := open.Files(t.Context(), c)
		if err != nil || len(list) < 2 || list[0].Path != "a" || list[1].Path != "dir/b" {
			t.Fatalf("%+v, %v", list, err)
		}
		return list
	}
	first, second, third := files(r.resolve(one)), files(r.resolve(two)), files(r.resolve("HEAD"))
	if first[0] == second[0] || first[1] != second[1] || !slices.Equal(second, third) {
		t.Errorf("%+v\n%+v\n%+v", first, second, third)
	}
	r.write("a", "3")
	dirty := files(r.dirty())
	if err := os.Chmod(filepath.Join(open.Dir(), "dir", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	again := files(r.dirty())
	if dirty[0] != again[0] || dirty[0].Hash == second[0].Hash || dirty[1] == again[1] || dirty[1].Hash != again[1].Hash {
		t.Errorf("%+v\n%+v", dirty, again)
	}
	stale := r.dirty()
	r.write("a", "4")
	if list, err := open.Files(t.Context(), stale); err == nil {
		t.Errorf("a folder that has changed: %+v", list)
	}
}
