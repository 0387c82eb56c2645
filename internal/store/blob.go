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

// Blob is an open blob: its bytes as they are on the disk, not verified again. The caller closes it.
type Blob struct {
	File
	size int64
}

// File is what a blob is read from: an *os.File in a depot, a part of one elsewhere.
type File interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// NewBlob returns the blob of size bytes that f is, for places of blobs that are no depot.
func NewBlob(f File, size int64) *Blob { return &Blob{f, size} }

// Size returns the length in bytes.
func (b *Blob) Size() int64 { return b.size }

// Open opens blob d for reading, or returns an error that wraps ErrNotFound (errs.NotFound).
func (s *Store) Open(d digest.Digest) (*Blob, error) {
	path, err := s.path(d)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, missing(d, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errs.Errorf(errs.Invalid, "blob %s: not a file", d)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Blob{f, info.Size()}, nil
}

func missing(d digest.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errs.Errorf(errs.NotFound, "blob %s: %w", d, ErrNotFound)
	}
	return fmt.Errorf("blob %s: %w", d, err)
}

// Once returns a reader of the whole blob, from its start, that does not leave a large one in memory: for copies that
// take long and are not soon followed by another.
func (b *Blob) Once() io.Reader {
	f, ok := b.File.(*os.File)
	if !ok || b.size < large {
		return b.File
	}
	return &once{f, fsx.Behind{File: f}, 0}
}

type once struct {
	r    io.Reader
	done fsx.Behind
	off  int64
}

func (o *once) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	o.off += int64(n)
	o.done.At(o.off)
	return n, err
}

// Size returns the length of blob d in bytes, or an error that wraps ErrNotFound.
func (s *Store) Size(d digest.Digest) (int64, error) {
	path, err := s.path(d)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, missing(d, err)
	}
	return info.Size(), nil
}

// Has reports whether the depot has blob d. It looks at the name only: see Verify.
func (s *Store) Has(d digest.Digest) bool {
	_, err := s.Size(d)
	return err == nil
}

// Bytes returns blob d, verified. An error wraps ErrNotFound, ErrTooLarge when d is longer than limit bytes, or
// digest.ErrMismatch (errs.Untrusted) when the disk changed it.
func (s *Store) Bytes(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := s.Open(d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.size > limit {
		return nil, fmt.Errorf("blob %s: %d bytes, at most %d wanted: %w", d, f.size, limit, ErrTooLarge)
	}
	b, err := fsx.Read(f, string(d), limit)
	if err != nil {
		return nil, err
	}
	if got := digest.Of(b); got != d {
		return nil, damaged(d, got)
	}
	return b, nil
}

// Verify reads blob d whole and returns an error that wraps digest.ErrMismatch (errs.Untrusted) when it is not itself.
func (s *Store) Verify(ctx context.Context, d digest.Digest) error {
	f, err := s.Open(d)
	if err != nil {
		return err
	}
	defer f.Close()
	h := digest.New()
	if _, err := s.copy(ctx, h, f.Once()); err != nil {
		return fmt.Errorf("verify blob %s: %w", d, err)
	}
	if got := h.Digest(); got != d {
		return damaged(d, got)
	}
	return nil
}

func damaged(d, got digest.Digest) error {
	return errs.Errorf(errs.Untrusted, "blob %s: its bytes are %s: %w", d, got, digest.ErrMismatch)
}

// Remove removes blob d; one that is not there is no error. Hard links made by Place stay.
func (s *Store) Remove(d digest.Digest) error {
	path, err := s.path(d)
	if err != nil {
		return err
	}
	return s.fs.Remove(path)
}

// List calls visit for each blob, in no particular order, with its length in bytes, and stops at the first error.
// Files that are not named like a blob are passed over.
func (s *Store) List(ctx context.Context, visit func(d digest.Digest, size int64) error) error {
	dir, err := os.Open(filepath.Join(s.dir, "blobs", "sha256"))
	if err != nil {
		return fmt.Errorf("list depot %s: %w", s.dir, err)
	}
	defer dir.Close()
	const batch = 512
	for {
		entries, err := dir.ReadDir(batch)
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			d, derr := digest.FromHex(e.Name())
			info, ierr := e.Info()
			if derr != nil || ierr != nil || !info.Mode().IsRegular() {
				continue // foreign, or removed meanwhile
			}
			if err := visit(d, info.Size()); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list depot %s: %w", s.dir, err)
		}
	}
}

// copy copies r to w through a pooled buffer until EOF, asking ctx once per buffer. Blocks as r and w do.
func (s *Store) copy(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := r.Read(*buf)
		if n > 0 {
			m, werr := w.Write((*buf)[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
