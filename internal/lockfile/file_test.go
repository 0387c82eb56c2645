package lockfile_test

import (
	"errors"
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

// What a link names is written, and the link stays one.
func TestALinkStaysOne(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, lockfile.Name)
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink("file", link)); err != nil {
		t.Fatal(err)
	}
	if err := lockfile.New(nil).Save(link); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != "file" {
		t.Errorf("the link: %q, %v", to, err)
	}
	if _, err := lockfile.Load(file); err != nil {
		t.Error(err)
	}
}

// A checkout whose overland.lock is a link to the lock of another project does not add to that.
func TestALinkOutOfTheCheckoutIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	other, link := filepath.Join(dir, "other", lockfile.Name), filepath.Join(dir, "checkout", lockfile.Name)
	if err := errors.Join(os.Mkdir(filepath.Dir(other), 0o700), os.Mkdir(filepath.Dir(link), 0o700), lockfile.New(nil).Save(other), os.Symlink("../other/"+lockfile.Name, link)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	mine := lockfile.New([]lockfile.Entry{{Protocol: "go", Key: "k", Status: 404}})
	for what, err := range map[string]error{"save": mine.Save(link), "writable": lockfile.Writable(link)} {
		if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after, err := os.ReadFile(other); err != nil || string(after) != string(before) {
		t.Errorf("written: %q, %v", after, err)
	}
}

// Only bytes that never change and have a proof of their own need not be fetched again.
func TestLasting(t *testing.T) {
	proof := lockfile.Proof{Kind: "go.sum", Value: "h1:"}
	for _, c := range []struct {
		e    lockfile.Entry
		want bool
	}{
		{lockfile.Entry{Status: 200, Proof: proof}, true},
		{lockfile.Entry{Status: 200, Proof: proof, Mutable: true}, false},
		{lockfile.Entry{Status: 200}, false},
		{lockfile.Entry{Status: 404, Proof: proof}, false},
	} {
		if got := c.e.Lasting(); got != c.want {
			t.Errorf("%+v: %v", c.e, got)
		}
	}
}
