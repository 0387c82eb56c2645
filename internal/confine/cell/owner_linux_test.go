package cell_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"overland/internal/confine/cell"
)

// owned returns who a file belongs to.
func owned(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// group returns the group of a file.
func group(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Gid)
}

func TestGive(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run it as root: it gives files away")
	}
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "a", "caf\xe9"), 0o700), os.WriteFile(filepath.Join(dir, "a", "caf\xe9", "c"), nil, 0o600),
		os.WriteFile(outside, nil, 0o600), os.Symlink(outside, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	if err := cell.Give(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "a", "a/caf\xe9", "a/caf\xe9/c", "link"} {
		if uid := owned(t, filepath.Join(dir, name)); uid != cell.User {
			t.Errorf("%q is of user %d", name, uid)
		}
	}
	if owned(t, outside) != 0 {
		t.Error("a link was followed")
	}
	if err := cell.Give(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// Two commands of one session share its folder: while one of them runs, the folder is given to the
// other, by root. What the first one does there in the meantime must not give away the machine's files.
func TestS4AFolderThatChangesIsNotALadder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run it as root: it gives files away")
	}
	dir, machine := t.TempDir(), t.TempDir()
	folder, link := filepath.Join(dir, "folder"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "shadow"), nil, 0o600),
		os.WriteFile(filepath.Join(machine, "shadow"), nil, 0o600), os.Symlink(machine, link)); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, folder, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	for range 2000 {
		_ = cell.Give(dir) // it may fail: then nothing runs
		if owned(t, filepath.Join(machine, "shadow")) != 0 {
			t.Fatal("a file of the machine was given away")
		}
	}
}
