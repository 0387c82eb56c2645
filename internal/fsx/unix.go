//go:build unix

package fsx

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

func flock(file *os.File, wait bool) error {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		switch err := syscall.Flock(int(file.Fd()), how); {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrLocked
		default:
			return err
		}
	}
}

// Free returns how many bytes an ordinary user may still write below dir.
func Free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // the types differ between systems
}

// IsFull reports whether err says that the disk (or a quota) is full.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// TakesNothing reports whether err says that the disk takes nothing new: it is full, has no inodes
// left, or turned read-only.
func TakesNothing(err error) bool { return IsFull(err) || errors.Is(err, syscall.EROFS) }
