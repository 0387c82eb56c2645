package runtime

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/fsx"
	"overland/internal/logfile"
)

// Rotation is when a log is rotated. The zero value is 10 MiB × 3.
type Rotation struct {
	Size int64 // bytes after which the log is moved to LOG.1; 0 = 10 MiB
	Keep int   // how many of LOG.1, LOG.2, … are kept; 0 = 3
}

func (r Rotation) size() int64 {
	if r.Size <= 0 {
		return 10 << 20
	}
	return r.Size
}

func (r Rotation) keep() int {
	if r.Keep <= 0 {
		return 3
	}
	return r.Keep
}

// Rotate moves the content of the log path to path.1, and what was there to path.2, when it is
// longer than r.Size; it reports whether it did. The service keeps writing to the same file (opened
// with O_APPEND), so the content is copied and the file emptied: what the service writes in the
// microseconds between is lost. Of a log that is far too long only the last r.Size bytes are kept.
// On a full disk old logs go first; a log is emptied even when nothing can be kept.
func Rotate(path string, r Rotation) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && info.Size() <= r.size()) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	log, err := lockLog(path, os.O_RDWR, unix.LOCK_EX)
	if err != nil {
		return false, fmt.Errorf("rotate %s: %w", path, err)
	}
	defer log.Close()
	if info, err = log.Stat(); err != nil || info.Size() <= r.size() {
		return false, err
	}
	for {
		err := r.rotate(log, path)
		if err == nil {
			return true, nil
		}
		if !fsx.IsFull(err) {
			return false, fmt.Errorf("rotate %s: %w", path, err)
		}
		if !r.drop(path) {
			return true, log.Truncate(0)
		}
	}
}

// rotate copies what log holds, then shifts the old copies and empties log. Readers are locked out,
// and nothing is lost at a crash between: the content is twice there, then.
func (r Rotation) rotate(log *lockedLog, path string) error {
	var disk fsx.FS
	tmp := path + ".rotating"
	out, err := disk.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	keep := func(err error) error { return errors.Join(err, out.Close(), disk.Remove(tmp)) }
	info, err := log.Stat()
	if err != nil {
		return keep(err)
	}
	from := int64(0)
	if info.Size() > 2*r.size() {
		from = info.Size() - r.size()
	}
	n, err := io.Copy(out, io.NewSectionReader(log, from, info.Size()-from))
	if err != nil {
		return keep(err)
	}
	if err := out.Sync(); err != nil {
		return keep(err)
	}
	for k := r.keep(); k > 1; k-- {
		if err := disk.Rename(numbered(path, k-1), numbered(path, k)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return keep(err)
		}
	}
	// What came during the sync, up to once more the size: a writer faster than
	// the copy must not keep it going.
	if _, err := io.Copy(out, io.NewSectionReader(log, from+n, r.size())); err != nil {
		return keep(err)
	}
	if err := disk.Rename(tmp, numbered(path, 1)); err != nil {
		return keep(err)
	}
	if err := log.Truncate(0); err != nil {
		return errors.Join(err, out.Close())
	}
	return errors.Join(out.Sync(), out.Close())
}

// drop removes the oldest copy of the log path, and reports whether there was one.
func (r Rotation) drop(path string) bool {
	for k := r.keep(); k > 0; k-- {
		if os.Remove(numbered(path, k)) == nil {
			return true
		}
	}
	return false
}

func numbered(path string, k int) string { return logfile.Numbered(path, k) }

// Limits returns r for a writer that keeps to it by itself.
func (r Rotation) Limits() logfile.Limits { return logfile.Limits{Size: r.size(), Keep: r.keep()} }

// lockedLog is an open log that is locked until it is closed.
type lockedLog struct {
	*os.File
	lock *os.File // nil = somebody who may read the log and not its lock
}

func (l *lockedLog) Close() error {
	if l.lock == nil {
		return l.File.Close()
	}
	return errors.Join(l.File.Close(), l.lock.Close())
}

// lockLog opens a log and locks it against rotation (unix.LOCK_SH) or against readers and rotation
// (unix.LOCK_EX). What is locked is a file beside it that is the agent's alone: the service has the
// log itself open, and a lock that it took on that would hold the agent up for good.
func lockLog(path string, flag, how int) (*lockedLog, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(path), logfile.LockName(filepath.Base(path))), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil && how == unix.LOCK_EX && !fsx.IsFull(err) {
		return nil, err
	}
	for lock != nil {
		if err = unix.Flock(int(lock.Fd()), how); err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(err, lock.Close())
		}
	}
	log, err := os.OpenFile(path, flag, 0)
	if err != nil {
		lock.Close() // of nil it does nothing
		return nil, err
	}
	return &lockedLog{log, lock}, nil
}

// rotator looks after the log of a service that writes it by itself, as one without namespaces does:
// often while it grows fast, less while it is still.
type rotator struct {
	path string
	rot  Rotation
	wait time.Duration // until the next check
	size int64         // at the last check
}

func newRotator(path string, r Rotation) *rotator {
	return &rotator{path: path, rot: r, wait: fastest}
}

const fastest, slowest = 50 * time.Millisecond, time.Second

func (r *rotator) check() error {
	info, err := os.Stat(r.path)
	if err != nil {
		r.wait = slowest
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	// The next check is to come before another quarter of the size is written at the rate seen.
	if grown := info.Size() - r.size; grown > r.rot.size()/4 {
		r.wait = max(r.wait/2, fastest)
	} else {
		r.wait = min(2*r.wait, slowest)
	}
	r.size = info.Size()
	done, err := Rotate(r.path, r.rot)
	if done {
		r.size = 0
	}
	return err
}
