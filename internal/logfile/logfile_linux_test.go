package logfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"overland/internal/logfile"
)

// log writes lines into the log at path, with at most 10 bytes and two older parts.
func log(t *testing.T, path string, lines ...string) {
	t.Helper()
	w, err := logfile.Open(path, logfile.Limits{Size: 10, Keep: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%q: %d, %v", line, n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// holds demands what the log at path and its older parts hold; "-" = there is none.
func holds(t *testing.T, path string, want ...string) {
	t.Helper()
	for k, text := range want {
		name := path
		if k > 0 {
			name = logfile.Numbered(path, k)
		}
		b, err := os.ReadFile(name)
		if got := string(b); got != text && (text != "-" || !errors.Is(err, os.ErrNotExist)) {
			t.Errorf("%s: %q, %v; want %q", filepath.Base(name), got, err, text)
		}
	}
}

func TestALogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	log(t, path, "01234", "56789")
	holds(t, path, "0123456789", "-")
	log(t, path, "a") // what is there counts
	holds(t, path, "a", "0123456789", "-")
	log(t, path, "bcdefghij", "k", strings.Repeat("m", 10)+"n")
	holds(t, path, "n", "mmmmmmmmmm", "k", "-")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), logfile.LockName("x"))); err != nil {
		t.Errorf("readers were not kept out: %v", err)
	}
}

// What cannot be moved away is dropped, and the log goes on.
func TestALogThatCannotBeMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.MkdirAll(filepath.Join(logfile.Numbered(path, 1), "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := logfile.Open(path, logfile.Limits{Size: 10, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, line := range []string{"0123456789", "abc", "def"} {
		_, _ = w.Write([]byte(line))
	}
	holds(t, path, "abcdef")
}

// Neither a pipe in the place of the log is waited for, nor a link in that of the next one followed.
func TestALogIsAFile(t *testing.T) {
	dir := t.TempDir()
	pipe, path, other := filepath.Join(dir, "pipe"), filepath.Join(dir, "x"), filepath.Join(dir, "other")
	if err := errors.Join(unix.Mkfifo(pipe, 0o600), os.WriteFile(other, []byte("mine"), 0o600), os.Symlink("other", filepath.Join(dir, ".x.new"))); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	log(t, pipe, "secret")
	if n, err := unix.Read(int(reader.Fd()), make([]byte, 10)); n > 0 || !errors.Is(err, unix.EAGAIN) {
		t.Errorf("a pipe got %d bytes, %v", n, err)
	}
	log(t, path, "0123456789", "abc")
	holds(t, path, "abc", "0123456789")
	holds(t, other, "mine")
}

func TestALogLeavesNothingOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := open()
	log(t, path, strings.Repeat("x", 200))
	if after := open(); after > before {
		t.Errorf("%d files are open, and %d before", after, before)
	}
}
