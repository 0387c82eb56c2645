package fsx

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Without /proc a file is opened by its name once more, and must still be the same.
func TestAFileIsOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	path, other, link := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(path, []byte("text"), 0o600), os.WriteFile(other, nil, 0o600), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path     string
		nofollow int
		fine     bool
	}{
		"the same": {path, 0, true}, "another": {other, 0, false}, "gone": {path + "x", 0, false},
		"through a link": {link, 0, true}, "a link in its place": {link, unix.O_NOFOLLOW, false},
	} {
		f, err := openAgain(test.path, test.nofollow, info)
		if (err == nil) != test.fine {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			f.Close()
		}
	}
	// A pipe in its place is not waited for, though it may have got the file's number.
	if err := errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := openAgain(path, 0, info); err == nil {
		t.Error("a pipe in its place")
	}
}
