package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// SmallDisk mounts a disk of size bytes until the test ends, and returns its folder and what gives
// it another size. It is in memory, and runs full as any other. Needs root.
func SmallDisk(t testing.TB, size int64) (dir string, resize func(size int64)) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mount := func(size int64, flags uintptr) {
		t.Helper()
		if err := unix.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("size=%d", size)); err != nil {
			t.Fatalf("mount a tmpfs: %v (tests with a full disk need root)", err)
		}
	}
	mount(size, 0)
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)))
		}
	})
	return dir, func(size int64) { mount(size, unix.MS_REMOUNT) }
}

// FailingDisk mounts a disk of size bytes with about 2000 inodes until the test ends, and returns its folder and
// what makes its file system find an error: from then on it is read-only, as ext4 is on a machine whose disk
// fails, and what is open for writing is too. Needs root.
func FailingDisk(t testing.TB, size int64) (dir string, fail func()) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	dir = filepath.Join(t.TempDir(), "disk")
	format(t, image, size)
	run(t, "tune2fs", "-e", "remount-ro", image)
	mount(t, image, dir)
	return dir, func() {
		t.Helper()
		var st unix.Stat_t
		err := unix.Stat(dir, &st)
		device := ""
		if err == nil {
			device, err = filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join("/sys/fs/ext4", filepath.Base(device), "trigger_fs_error"), []byte("a test"), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "written"), nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Fatalf("it takes what is written: %v", err)
		}
	}
}
