package confine

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// RemountInside makes mounts in a mount namespace of its own, remounts some, and returns the options of
// each: what a kernel before 5.12 is asked for.
func RemountInside() (string, error) {
	if err := errors.Join(apart(), setAside(), os.Mkdir("/proc", 0o755), unix.Mount("proc", "/proc", "proc", 0, "")); err != nil {
		return "", err
	}
	for _, m := range []struct {
		at    string
		flags uintptr
	}{{"", 0}, {"/a", unix.MS_NOEXEC}, {"/a/in side", 0}, {"/ab", 0}, {"/w", 0}, {"/w/ro", unix.MS_RDONLY}} {
		if err := errors.Join(os.MkdirAll(newRoot+m.at, 0o755), unix.Mount("tmpfs", newRoot+m.at, "tmpfs", m.flags, "")); err != nil {
			return "", err
		}
	}
	if err := errors.Join(remount(newRoot+"/a", false), remount(newRoot+"/w", true)); err != nil {
		return "", err
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	var all strings.Builder
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); strings.HasPrefix(f[4], newRoot+"/") {
			fmt.Fprintln(&all, f[4], f[5])
		}
	}
	return all.String(), err
}

// FillInside has the disk of a command become fuller than the reserve, in a mount namespace of its own,
// and returns what is said of it: before and after, and of one that was never roomy.
func FillInside(dir string) (said [3]error, _ error) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=300m"); err != nil {
		return said, err
	}
	s := Spec{Limits: Limits{Disk: 1 << 40}, Mounts: []Mount{{Kind: Bind, Source: dir, Writable: true}, {Kind: Bind, Source: "/dev/shm", Writable: true}}}
	d := newDisk(s)
	d.measure()
	said[0] = d.reached()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=100m"); err != nil {
		return said, err
	}
	said[1] = d.reached()
	d = newDisk(s)
	d.measure()
	said[2] = d.reached()
	return said, nil
}
