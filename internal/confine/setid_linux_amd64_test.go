package confine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() { verbs["setid"] = func(args []string) { setIDs(args[0]) } }

// No call gives a file a set-ID bit, whatever makes it, and each gives one without.
func TestNoCallGivesASetIDBit(t *testing.T) {
	s := spec(t, "setid", "/tmp")
	s.NoSetID = true
	if out, exit, err := run(t, s); exit.Code != 0 || err != nil || out != "" {
		t.Errorf("%+v, %v\n%s", exit, err, out)
	}
}

// setIDs tries each call that gives a file a mode, with each of the two bits, and prints those that
// gave it, or failed otherwise than by the filter; and those that fail without a bit.
func setIDs(dir string) {
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		panic(err)
	}
	text := func(s string) uintptr { p, _ := unix.BytePtrFromString(s); return uintptr(unsafe.Pointer(p)) }
	here := unix.AT_FDCWD
	at := uintptr(here)
	call := func(nr uintptr, args ...uintptr) error {
		a := append(args, 0, 0, 0, 0, 0, 0)
		n, _, errno := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno != 0 {
			return errno
		}
		if n > 2 {
			unix.Close(int(n))
		}
		return nil
	}
	how := unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY}
	for _, bit := range []uintptr{0, unix.S_ISUID, unix.S_ISGID} {
		mode := 0o755 | bit
		for name, do := range map[string]func() error{
			"chmod":         func() error { return call(unix.SYS_CHMOD, text(path), mode) },
			"fchmodat":      func() error { return call(unix.SYS_FCHMODAT, at, text(path), mode) },
			"fchmodat2":     func() error { return call(452, at, text(path), mode, 0) },
			"creat":         func() error { return call(unix.SYS_CREAT, text(path+"c"), mode) },
			"mknod":         func() error { return call(unix.SYS_MKNOD, text(path+"n"), unix.S_IFREG|mode, 0) },
			"mknodat":       func() error { return call(unix.SYS_MKNODAT, at, text(path+"na"), unix.S_IFREG|mode, 0) },
			"open":          func() error { return call(unix.SYS_OPEN, text(path+"o"), unix.O_CREAT|unix.O_WRONLY, mode) },
			"openat":        func() error { return call(unix.SYS_OPENAT, at, text(path+"oa"), unix.O_CREAT|unix.O_WRONLY, mode) },
			"openat of one": func() error { return call(unix.SYS_OPENAT, at, text(dir), unix.O_TMPFILE|unix.O_WRONLY, mode) },
			"open of one":   func() error { return call(unix.SYS_OPEN, text(dir), unix.O_TMPFILE|unix.O_WRONLY, mode) },
			"fchmod": func() error {
				f, err := os.Open(path)
				if err != nil {
					return err
				}
				defer f.Close()
				return call(unix.SYS_FCHMOD, f.Fd(), mode)
			},
		} {
			for _, end := range []string{"c", "n", "na", "o", "oa"} {
				_ = os.Remove(path + end)
			}
			if err := do(); bit == 0 && err != nil || bit != 0 && !errors.Is(err, unix.EPERM) {
				fmt.Printf("%s %o: %v\n", name, mode, err)
			}
		}
	}
	// The mode of what is not made says nothing.
	if err := call(unix.SYS_OPENAT, at, text(path), unix.O_RDONLY, unix.S_ISUID); err != nil {
		fmt.Println("openat of what is there:", err)
	}
	if _, err := unix.Openat2(here, path+"o2", &how); !errors.Is(err, unix.ENOSYS) {
		fmt.Println("openat2:", err)
	}
}
