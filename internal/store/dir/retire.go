package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
)

// keepLock is held while a blob's time is read or set, and the blob removed.
const keepLock = "keep.lock"

// ahead is how far Touch sets the time of a blob ahead: some file systems keep even seconds only.
const ahead = 2 * time.Second

// Touch protects blob d from a Retire that is under way. Call it when d was found in the depot and
// it was noted, durably, that it has to stay. The error wraps store.ErrNotFound when d is gone
// already.
func (s *Store) Touch(d digest.Digest) error { return s.touch(d, ahead) }

func (s *Store) touch(d digest.Digest, ahead time.Duration) error {
	err := s.keeping(d, func(path string, _ fs.FileInfo) error {
		now := time.Now()
		err := os.Chtimes(path, now, now.Add(ahead))
		if errors.Is(err, fs.ErrPermission) {
			return nil // another user's file: not a reason to fail
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("keep blob %s: %w", d, err)
	}
	return nil
}

// Wanted returns when somebody last wanted blob d to stay: when it was written, or touched. The error
// wraps store.ErrNotFound when it is not there.
func (s *Store) Wanted(d digest.Digest) (time.Time, error) {
	path, err := s.path(d)
	if err != nil {
		return time.Time{}, err
	}
	info, err := blobAt(path)
	if isMissing(err) {
		return time.Time{}, errs.E(errs.NotFound, store.ErrNotFound)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("blob %s: %w", d, err)
	}
	return info.ModTime(), nil
}

// wanted gives blob d, which a writer has found in the depot, the time of one that is written now,
// and reports whether it is still there. A disk that takes no times is no reason to write it again.
func (s *Store) wanted(d digest.Digest) bool {
	return !errors.Is(s.touch(d, 0), store.ErrNotFound)
}

// Retire removes blob d unless it was touched after since, and reports whether it removed it. since
// is when the caller began to ask everybody whether d has to stay. A missing blob is not an error.
func (s *Store) Retire(d digest.Digest, since time.Time) (removed bool, err error) {
	err = s.keeping(d, func(path string, info fs.FileInfo) error {
		if info.ModTime().After(since) {
			return nil
		}
		removed = true
		return s.fs.Remove(path)
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, fmt.Errorf("retire blob %s: %w", d, err)
	}
	return removed, nil
}

// keeping calls do with the file of blob d while no Touch and no Retire of any process is under
// way.
func (s *Store) keeping(d digest.Digest, do func(path string, info fs.FileInfo) error) error {
	path, err := s.path(d)
	if err != nil {
		return err
	}
	if err := s.folder(ingestFolder); err != nil {
		return err
	}
	lock, err := fsx.WaitLock(s.ingest(keepLock))
	if err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }() // held by the open file alone
	info, err := blobAt(path)
	if isMissing(err) {
		return errs.E(errs.NotFound, store.ErrNotFound)
	}
	if err != nil {
		return err
	}
	return do(path, info)
}
