package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// HangingDisk mounts a folder of FUSE until the test ends, whose server has stopped: what asks for
// anything in it hangs, until it is killed. asked has a value when something did. Needs root.
//
// A server that takes a request and does not answer it is worse: the kernel lets nobody go then, killed or not.
func HangingDisk(t testing.TB) (dir string, asked <-chan struct{}) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "hangs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open /dev/fuse: %v (tests with FUSE need root, and the kernel's module)", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", server)
	if err := unix.Mount("overland-test", dir, "fuse", 0, options); err != nil {
		t.Fatalf("mount FUSE: %v", err)
	}
	came, stop := make(chan struct{}), make(chan struct{})
	var watch sync.WaitGroup
	t.Cleanup(func() {
		close(stop)
		watch.Wait()
		err := unix.Close(server) // ends what hangs
		if err := errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
	if err := greet(server); err != nil {
		t.Fatal(err)
	}
	watch.Go(func() {
		for !readable(server) {
			select {
			case <-stop:
				return
			default:
			}
		}
		close(came)
	})
	return dir, came
}

// readable reports whether a request waits, or comes soon.
func readable(fd int) bool {
	const soon = 50 // ms
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, soon)
	return n > 0 && err == nil
}

// greet answers the first request, without which the kernel sends no other (linux/fuse.h:
// fuse_in_header, fuse_out_header, fuse_init_out).
func greet(server int) error {
	const (
		unique, head, answer = 8, 16, 64 // bytes: where the request's id stands, and how long an answer is
		major, minor, most   = 7, 31, 4096
		atMajor, atMinor     = head, head + 4
		atMost               = head + 20 // the longest write
	)
	in, out := make([]byte, 1<<17), make([]byte, head+answer)
	if _, err := unix.Read(server, in); err != nil {
		return err
	}
	binary.NativeEndian.PutUint32(out, uint32(len(out)))
	copy(out[unique:], in[unique:unique+8])
	binary.NativeEndian.PutUint32(out[atMajor:], major)
	binary.NativeEndian.PutUint32(out[atMinor:], minor)
	binary.NativeEndian.PutUint32(out[atMost:], most)
	_, err := unix.Write(server, out)
	return err
}
