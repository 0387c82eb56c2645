package fsx_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/fsx"
)

// On a machine without /proc files are opened all the same, and nothing else is.
func TestWithoutProc(t *testing.T) {
	const again = "TEST_WITHOUT_PROC"
	if os.Getenv(again) != "" {
		return
	}
	if os.Geteuid() != 0 {
		t.Fatal("run it as root: it takes /proc away from itself")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-e", "-c", `umount -l /proc; exec "$@"`, "sh",
		exe, "-test.run=^(TestOpen|TestReadFileKeepsToItsLimit|TestWithoutProc)$", "-test.v")
	cmd.Env = append(os.Environ(), again+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), "--- PASS") != 3 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNothingStaysOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() int {
		t.Helper()
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	held := filepath.Join(dir, "lock")
	lock, err := fsx.TryLock(held)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Unlock() }()
	before := open()
	for range 5 {
		f, err := fsx.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if f, err := fsx.Open(dir); err == nil {
			f.Close()
			t.Error("a folder was opened")
		}
		p, err := (fsx.FS{}).Create(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		p.Discard()
		if _, err := fsx.TryLock(held); !errors.Is(err, fsx.ErrLocked) {
			t.Errorf("two have a lock: %v", err)
		}
	}
	if after := open(); after > before {
		t.Errorf("%d files are open, and %d before", after, before)
	}
}

// A lock that cannot be taken by anybody is not waited for.
func TestALockThatNeverComes(t *testing.T) {
	if _, err := fsx.AwaitLock(t.Context(), filepath.Join(t.TempDir(), "none", "lock")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// What changes the disk is named before it happens, and nothing else.
func TestOnlyWhatMakesAFileIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var ops []string
	f := fsx.FS{Before: func(op fsx.Op) error { ops = append(ops, op.Name); return nil }}
	for _, flag := range []int{os.O_RDWR | os.O_CREATE, os.O_RDWR} {
		file, err := f.OpenFile(path, flag, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		if !slices.Equal(ops, []string{"create"}) { // by the first alone
			t.Errorf("%q", ops)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o444, 0o711} {
		if err := f.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
}

// A folder that another process makes at the same moment is made.
func TestAFolderIsMadeByTwo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder")
	f := fsx.FS{Before: func(op fsx.Op) error {
		if op.Name == "mkdir" {
			return os.Mkdir(op.Path, 0o755)
		}
		return nil
	}}
	if err := f.Mkdir(path, 0o755); err != nil {
		t.Error(err)
	}
}

func TestALimitIsNotPassedByAByte(t *testing.T) {
	for limit := range int64(4) { // a buffer that takes two bytes more than it may
		if n, err := fsx.Limit(strings.NewReader("12345"), limit).Read(make([]byte, limit+2)); n != int(limit) || err == nil {
			t.Errorf("limit %d: %d bytes, %v", limit, n, err)
		}
	}
	for limit := range int64(6) {
		r, got := fsx.Limit(strings.NewReader("12345"), limit), 0
		var err error
		for err == nil {
			var n int
			n, err = r.Read(make([]byte, 100))
			got += n
		}
		if fits := errors.Is(err, io.EOF); got != int(limit) || fits != (limit == 5) {
			t.Errorf("limit %d: %d bytes, %v", limit, got, err)
		}
		if n, err := r.Read(make([]byte, 100)); n != 0 || err == nil {
			t.Errorf("limit %d, behind the end: %d, %v", limit, n, err)
		}
	}
}
