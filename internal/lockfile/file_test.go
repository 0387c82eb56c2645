package lockfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/errs"
	"overland/internal/lockfile"
)

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), lockfile.Name)
	if _, err := lockfile.Load(path); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("no file: %v", err)
	}
	if err := lockfile.Writable(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("asking whether it can be written wrote it")
	}
	want := lockfile.New(nil)
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := lockfile.Load(path)
	if err != nil || !cmp.Equal(got.Entries, want.Entries) {
		t.Errorf("loaded %v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("overland.lock 1\n<<<<<<< ours\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := lockfile.Load(path); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Errorf("a merge conflict: %v", err)
	}
	elsewhere := filepath.Join(t.TempDir(), "none", lockfile.Name)
	for name, err := range map[string]error{"save": want.Save(elsewhere), "writable": lockfile.Writable(elsewhere)} {
		if err == nil || errs.HintOf(err) == "" {
			t.Errorf("%s where there is no folder: %v", name, err)
		}
	}
}
