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
