package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/store"
)

// Place makes blob d appear at path, durably, in place of what is there: as a hard link where the
// file system allows it, else as a copy that is verified on the way. The directory of path exists.
// A link shares its file with the depot, so both get mode, and never its write bits: a write to
// path would change the blob.
func (s *Store) Place(ctx context.Context, d digest.Digest, path string, mode fs.FileMode) error {
	if err := s.place(ctx, d, path, mode&^0o222|blobMode); err != nil {
		return fmt.Errorf("place blob %s at %s: %w", d, path, fsx.Full(err))
	}
	return nil
}

func (s *Store) place(ctx context.Context, d digest.Digest, path string, mode fs.FileMode) error {
	blob, err := s.path(d)
	if err != nil {
		return err
	}
	info, err := blobAt(blob)
	if err != nil {
		return missing(d, err)
	}
	there, err := os.Lstat(path)
	if err == nil && !os.SameFile(info, there) {
		if err := s.fs.Remove(path); err != nil {
			return err
		}
	}
	if err != nil || !os.SameFile(info, there) {
		err := s.fs.Link(blob, path)
		if cannotLink(err) {
			return s.copyTo(ctx, d, path, mode)
		}
		if err != nil {
			return err
		}
	}
	// Modes only ever grow: the same blob may be a program in one place and data in another.
	if want := info.Mode().Perm() | mode; info.Mode().Perm() != want {
		if err := s.fs.Chmod(path, want); err != nil {
			return err
		}
	}
	return s.fs.SyncDir(filepath.Dir(path))
}

// cannotLink reports whether err says that a link is impossible here: another file system, one
// without links (FAT on a stick), a file with too many links, or a file of another user.
func cannotLink(err error) bool {
	for _, e := range []error{syscall.EXDEV, syscall.EPERM, syscall.EACCES, syscall.EMLINK, syscall.ENOTSUP, syscall.ENOSYS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Store) copyTo(ctx context.Context, d digest.Digest, path string, mode fs.FileMode) error {
	f, err := s.open(ctx, d)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := s.fs.Create(path, mode)
	if err != nil {
		return err
	}
	defer w.Discard()
	h := digest.New()
	if _, err := s.copy(ctx, &both{f: w.File, h: h, done: behind(w.File, f.size)}, f.Once()); err != nil {
		return err
	}
	if err := store.Same(d, h.Digest()); err != nil {
		return err
	}
	return w.Commit()
}
