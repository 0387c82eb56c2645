package fsx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// ErrLocked is returned when another process holds a lock.
var ErrLocked = errors.New("in use by another process")

// Lock is an exclusive lock that the kernel drops when its holder dies.
type Lock struct{ file *os.File }

// TryLock takes the lock file path, or returns an error that wraps ErrLocked and names the holder's
// process id.
func TryLock(path string) (*Lock, error) {
	file, err := openLock(path)
	if err != nil {
		return nil, err
	}
	if err := flock(file, false); err != nil {
		holder := make([]byte, 20)
		n, _ := file.ReadAt(holder, 0)
		file.Close()
		if errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("lock %s (held by process %s): %w", path, holder[:n], ErrLocked)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return own(file)
}

// openLock opens the lock file path. On a disk that turned read-only one that is there is locked all
// the same; it cannot name its holder.
func openLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, syscall.EROFS) {
		if f, err := os.Open(path); err == nil {
			return f, nil
		}
	}
	return file, err
}

// WaitLock takes the lock file path, blocking until it is free.
func WaitLock(path string) (*Lock, error) {
	file, err := openLock(path)
	if err != nil {
		return nil, err
	}
	if err := flock(file, true); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return own(file)
}

// AwaitLock takes the lock file path as soon as it is free. When ctx ends first, the error is that
// of TryLock, so it wraps ErrLocked. A lock that is free is taken even after ctx has ended.
func AwaitLock(ctx context.Context, path string) (*Lock, error) {
	const longest = 50 * time.Millisecond
	for wait := time.Millisecond; ; wait = min(2*wait, longest) {
		l, err := TryLock(path)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(wait):
		}
	}
}

func own(file *os.File) (*Lock, error) {
	// The id is for people; the lock holds without it, so that a full disk does no harm here.
	// An unchanged id is not written: taking a lock again and again costs a flash disk nothing.
	id := strconv.Itoa(os.Getpid())
	old := make([]byte, 20)
	if n, _ := file.ReadAt(old, 0); string(old[:n]) != id && file.Truncate(0) == nil {
		_, _ = file.WriteAt([]byte(id), 0)
	}
	return &Lock{file}, nil
}

// InPlace reports whether the lock file still has the name by which it was taken: nobody removed or
// replaced it meanwhile.
func (l *Lock) InPlace() bool {
	mine, err := l.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(l.file.Name())
	return err == nil && os.SameFile(mine, now)
}

// Unlock frees the lock. The file stays, for the next holder.
func (l *Lock) Unlock() error { return l.file.Close() }

// TryLock locks the open file itself until it is closed, or returns an error that wraps ErrLocked.
// The lock belongs to the file, not to its name: code that renames or removes locked files checks
// afterwards that the name is still its own.
func (f *File) TryLock() error {
	if err := flock(f.File, false); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}
