package fsx_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"overland/internal/fsx"
)

// What has been committed is nobody's to discard, whatever has its temporary name by then.
func TestDiscardAfterCommitDoesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	w, err := (fsx.FS{}).Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.Name(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.Discard()
	for _, p := range []string{path, w.Name()} {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
}

func TestSymlinkIsDurable(t *testing.T) {
	var ops []string
	f := fsx.FS{Before: func(op fsx.Op) error {
		ops = append(ops, op.Name)
		return nil
	}}
	if err := f.Symlink("gen/1", filepath.Join(t.TempDir(), "current")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ops, " "); got != "symlink rename syncdir" {
		t.Errorf("operations %q", got)
	}
}

// A lock names its holder, and nothing of the one before it.
func TestALockNamesItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, []byte("1234567890123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	lock, err := fsx.TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if _, err := fsx.TryLock(path); !errors.Is(err, fsx.ErrLocked) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("got %v", err)
	}
}

// A lock whose file was removed or replaced holds nothing that another process would see.
func TestALockThatIsNotInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := fsx.TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if !lock.InPlace() {
		t.Error("it is where it was")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if lock.InPlace() {
		t.Error("it was removed")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if lock.InPlace() {
		t.Error("another file has its name")
	}
}
