package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Adopt makes the file f, which fsx.FS.Nameless made and nobody writes any more, a blob, as Put does with what f holds:
// the same promises and errors. Where f lies on the depot's disk nothing is copied: f itself gets the blob's name.
func (s *Store) Adopt(ctx context.Context, f *os.File, want digest.Digest, size int64) (digest.Digest, int64, error) {
	d, n, err := s.adopt(ctx, f, want, size)
	if err != nil {
		return "", 0, fmt.Errorf("put blob %s: %w", want, Full(err))
	}
	return d, n, nil
}

func (s *Store) adopt(ctx context.Context, f *os.File, want digest.Digest, size int64) (digest.Digest, int64, error) {
	d, n, err := s.hash(ctx, f)
	if err != nil {
		return "", 0, err
	}
	if (want != "" && d != want) || (size >= 0 && n != size) {
		return "", 0, errs.Errorf(errs.Untrusted, "got %d bytes named %s, want %d: %w", n, d, size, digest.ErrMismatch)
	}
	if there, err := s.Size(d); err == nil && there == n {
		return d, n, nil
	}
	if err := s.room(0); err != nil {
		return "", 0, err
	}
	switch err := s.name(f, d); {
	case err == nil:
		return d, n, nil
	case cannotLink(err), errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrNotExist): // as without /proc
	case errors.Is(err, fs.ErrExist): // somebody was faster, or what is there has another length
	default:
		return "", 0, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", 0, err
	}
	return s.put(ctx, f, d, n)
}

// hash returns the name and the length of what f holds, and starts writing a large one to the disk.
func (s *Store) hash(ctx context.Context, f *os.File) (digest.Digest, int64, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	r := io.Reader(f)
	if info.Size() >= large {
		r = &once{f, fsx.Behind{File: f, Written: true}, 0}
	}
	h := digest.New()
	n, err := s.copy(ctx, h, r)
	return h.Digest(), n, err
}

// name gives f, whose bytes are d, its name, durably.
func (s *Store) name(f *os.File, d digest.Digest) error {
	path, err := s.path(d)
	if err != nil {
		return err
	}
	if err := f.Chmod(blobMode); err != nil {
		return err
	}
	if err := s.fs.Sync(f); err != nil {
		return err
	}
	if err := s.fs.Name(f, path); err != nil {
		return err
	}
	return s.fs.SyncDir(filepath.Dir(path))
}
