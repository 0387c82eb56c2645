package volume

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// A volume that was found where anybody may put one is opened only when it is a file, and so is
// each of its parts and their list. One that a person named may be a link to a file.
func TestS13OnlyAFileIsAVolume(t *testing.T) {
	dir := t.TempDir()
	pipe, link, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"list" + PartsSuffix, "piece.001"} {
		if err := os.Link(pipe, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]errs.Kind{"pipe": errs.Invalid, "list": errs.Invalid, "piece": errs.Untrusted, "piece.001": errs.Invalid, "link": errs.Invalid, "file": errs.Untrusted} {
		if _, err := OpenFound(filepath.Join(dir, name), &fsx.Patience{}); errs.KindOf(err) != kind {
			t.Errorf("found %s: %v", name, err)
		}
		if name == "link" {
			kind = errs.Untrusted // followed, and empty
		}
		if _, err := Open(filepath.Join(dir, name)); errs.KindOf(err) != kind {
			t.Errorf("named %s: %v", name, err)
		}
	}
}
