package fsx

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A service, or a build, may nest folders deeper than there are descriptors, and names may come to more than any path.
func TestPurgeOfADeepTree(t *testing.T) {
	deepTree(t, func(top string) error {
		if left := (FS{}).Purge(top); len(left) > 0 {
			return left[0].Err
		}
		return nil
	})
}

func TestRemoveTreeOfADeepTree(t *testing.T) { deepTree(t, RemoveTree) }

// deepTree has remove remove a tree.
func deepTree(t *testing.T, remove func(string) error) {
	top := filepath.Join(t.TempDir(), "volumes")
	if err := os.Mkdir(top, 0o700); err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	const levels, files = 1000, 512
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}()
	at, err := unix.Open(top, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for i := 0; err == nil && i < levels; i++ {
		below := -1
		if err = unix.Mkdirat(at, "a-long-name", 0o700); err == nil {
			below, err = unix.Openat(at, "a-long-name", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
		unix.Close(at)
		at = below
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(at)
	if err := remove(top); err != nil {
		t.Errorf("%.100s", err)
	}
	if _, err := os.Lstat(top); err == nil {
		t.Error("it is there")
	}
}
