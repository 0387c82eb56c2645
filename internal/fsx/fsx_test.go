package fsx

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets a test start this program again as a process that dies while it holds a lock.
func TestMain(m *testing.M) {
	if path := os.Getenv("FSX_HOLD_LOCK"); path != "" {
		if _, err := TryLock(path); err != nil {
			os.Exit(1)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	os.Exit(m.Run())
}

// failAt returns an FS whose n-th operation fails with err, and counts.
func failAt(n int, err error) (FS, *int) {
	count := new(int)
	return FS{Before: func(Op) error {
		*count++
		if *count == n {
			return err
		}
		return nil
	}}, count
}

func TestAFailedWriteLeavesTheOldFile(t *testing.T) {
	for n := 1; ; n++ {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		if err := (FS{}).WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, count := failAt(n, syscall.ENOSPC)
		err := f.WriteFile(path, []byte("new"), 0o600)
		got, readErr := os.ReadFile(path)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if *count < n {
			if err != nil || string(got) != "new" {
				t.Fatalf("no failure: %v, %q", err, got)
			}
			if n < 4 {
				t.Fatalf("only %d operations: is the hook called?", n-1)
			}
			return
		}
		if !IsFull(err) {
			t.Errorf("operation %d: error %v", n, err)
		}
		if s := string(got); s != "old" && s != "new" {
			t.Errorf("operation %d: content %q", n, got)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("operation %d left %v behind", n, left)
		}
	}
}

func TestWriteFileSyncsBeforeAndAfterTheRename(t *testing.T) {
	var ops []string
	f := FS{Before: func(op Op) error {
		ops = append(ops, op.Name)
		return nil
	}}
	if err := f.WriteFile(filepath.Join(t.TempDir(), "file"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(ops, " "), "create write sync rename syncdir"; got != want {
		t.Errorf("operations %q, want %q", got, want)
	}
}

func TestWriteFileSetsTheModeExactly(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "file")
	if err := (FS{}).WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestSymlinkReplacesInOneStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "current")
	for _, target := range []string{"gen/1", "gen/2"} {
		if err := (FS{}).Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(path); err != nil || got != target {
			t.Errorf("link to %q, %v", got, err)
		}
	}
}

func TestMkdirMakesParentsAndSyncsThem(t *testing.T) {
	var synced []string
	f := FS{Before: func(op Op) error {
		if op.Name == "syncdir" {
			synced = append(synced, op.Path)
		}
		return nil
	}}
	dir := t.TempDir()
	if err := f.Mkdir(filepath.Join(dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if len(synced) != 2 || synced[0] != dir || synced[1] != filepath.Join(dir, "a") {
		t.Errorf("synced %v", synced)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Mkdir(filepath.Join(dir, "file"), 0o755); err == nil {
		t.Error("a file was taken for a directory")
	}
}

func TestALockDiesWithItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	holder := exec.Command("/proc/self/exe")
	holder.Env = append(os.Environ(), "FSX_HOLD_LOCK="+path)
	err := holder.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the holder ended with %v", err)
	}
	lock, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := AwaitLock(ctx, path); !errors.Is(err, ErrLocked) || ctx.Err() == nil {
		t.Errorf("second lock, with patience: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := WaitLock(path)
	if err != nil {
		t.Fatal(err)
	}
	again.Unlock()
	if again, err = AwaitLock(ctx, path); err != nil { // free: no patience is needed
		t.Fatal(err)
	}
	again.Unlock()
}

func TestFree(t *testing.T) {
	if free, err := Free(t.TempDir()); err != nil || free <= 0 {
		t.Errorf("free %d, %v", free, err)
	}
	if _, err := Free("/does/not/exist"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestRemoveTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	deep := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(deep, "file"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(deep, "link")); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{deep, filepath.Dir(deep)} {
		if err := os.Chmod(d, 0); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // what is not there is no error
		if err := RemoveTree(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}
