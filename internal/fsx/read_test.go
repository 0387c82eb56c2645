package fsx

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReadFileKeepsToItsLimit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("four"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int64{4, 5} {
		if b, err := ReadFile(path, limit); err != nil || string(b) != "four" {
			t.Errorf("limit %d: %q, %v", limit, b, err)
		}
	}
	if b, err := ReadFile(path, 3); !errors.Is(err, ErrTooLong) || b != nil {
		t.Errorf("limit 3: %q, %v", b, err)
	}
	if _, err := ReadFile(filepath.Join(dir, "none"), 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe} {
		if _, err := ReadFile(path, 4); err == nil {
			t.Errorf("%s was read", path)
		}
	}
}
