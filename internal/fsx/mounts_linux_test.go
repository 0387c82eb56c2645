package fsx_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"overland/internal/fsx"
)

// mount mounts for one test; the tests run as root, as the agent does.
func mount(t *testing.T, source, at, kind string, flags uintptr) {
	t.Helper()
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(source, at, kind, flags, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(at, syscall.MNT_DETACH) })
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(path), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPurgeGoesRoundMountsAndLinks(t *testing.T) {
	dir := t.TempDir()
	others, top := filepath.Join(dir, "others"), filepath.Join(dir, "volumes")
	write(t, filepath.Join(others, "kept"))
	for i := range 1500 { // more than one listing
		write(t, filepath.Join(top, "wallet", "many", strings.Repeat("x", 1+i%40)+string(rune('a'+i/40))))
	}
	write(t, filepath.Join(top, "wallet", "a", "b", "gone"))
	mount(t, "tmpfs", filepath.Join(top, "wallet", "disk"), "tmpfs", 0)
	write(t, filepath.Join(top, "wallet", "disk", "kept"))
	mount(t, others, filepath.Join(top, "tea", "deep", "bound"), "", syscall.MS_BIND) // of the same file system
	if err := os.Symlink(others, filepath.Join(top, "tea", "link")); err != nil {
		t.Fatal(err)
	}
	left := fsx.FS{}.Purge(top)
	var paths []string
	for _, l := range left {
		paths = append(paths, strings.TrimPrefix(l.Path, top))
		if !errors.Is(l.Err, fsx.ErrMount) {
			t.Errorf("%s: %v", l.Path, l.Err)
		}
	}
	if got := strings.Join(paths, " "); got != "/tea/deep/bound /wallet/disk" && got != "/wallet/disk /tea/deep/bound" {
		t.Errorf("left %s", got)
	}
	for _, kept := range []string{filepath.Join(others, "kept"), filepath.Join(top, "wallet", "disk", "kept")} {
		if _, err := os.Stat(kept); err != nil {
			t.Error(err)
		}
	}
	for _, gone := range []string{"wallet/a", "wallet/many", "tea/link"} {
		if _, err := os.Lstat(filepath.Join(top, gone)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
	for _, l := range left {
		if err := syscall.Unmount(l.Path, 0); err != nil {
			t.Fatal(err)
		}
	}
	if left := (fsx.FS{}).Purge(top); len(left) != 0 {
		t.Errorf("unmounted, still left: %v", left)
	}
	if _, err := os.Lstat(top); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
	if left := (fsx.FS{}).Purge(filepath.Join(top, "nothing", "here")); len(left) != 0 {
		t.Errorf("nothing was there: %v", left)
	}
}

func TestNoExec(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "a b")
	mount(t, "tmpfs", at, "tmpfs", syscall.MS_NOEXEC|syscall.MS_NODEV|syscall.MS_NOSUID)
	for path, want := range map[string]string{at: at, filepath.Join(at, "not", "yet", "made"): at} {
		if got := fsx.NoExec(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	fine := filepath.Join(dir, "fine")
	mount(t, "tmpfs", fine, "tmpfs", syscall.MS_NODEV|syscall.MS_NOSUID)
	if got := fsx.NoExec(fine); got != "" {
		t.Errorf("nodev and nosuid: %q", got)
	}
}
