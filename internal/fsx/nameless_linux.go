package fsx

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// nameless makes a file in dir that has no name, and may get one by Name.
func nameless(dir string, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, mode)
}

// name links an open file that never had a name.
func name(f *os.File, path string) error {
	// By descriptor it would need CAP_DAC_READ_SEARCH; this way is in open(2).
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

func reopen(f *os.File) (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}
