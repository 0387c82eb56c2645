package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
)

// file is an open blob. Its *os.File makes it a syscall.Conn: see store.Blob.
type file struct {
	*os.File
	size int64
}

func (f *file) Size() int64 { return f.size }

// Once is what store.Once calls.
func (f *file) Once() io.Reader {
	if f.size < large {
		return f.File
	}
	return &once{f.File, fsx.Behind{File: f.File}, 0}
}

// Open is part of store.Blobs.
func (s *Store) Open(ctx context.Context, d digest.Digest) (store.Blob, error) {
	f, err := s.open(ctx, d)
	if err != nil {
		return nil, err // not a store.Blob that holds a nil file
	}
	return f, nil
}

func (s *Store) open(ctx context.Context, d digest.Digest) (*file, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := s.path(d)
	if err != nil {
		return nil, err
	}
	f, err := fsx.Open(path)
	if err != nil {
		return nil, missing(d, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{f, info.Size()}, nil
}

// blobAt describes the file of a blob. Anything else that stands there is none: a writer replaces it.
func blobAt(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: fsx.ErrNotRegular}
	}
	return info, err
}

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fsx.ErrNotRegular)
}

func missing(d digest.Digest, err error) error {
	if isMissing(err) {
		return errs.Errorf(errs.NotFound, "blob %s: %w", d, store.ErrNotFound)
	}
	return fmt.Errorf("blob %s: %w", d, err)
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

// Stat is part of store.Blobs.
func (s *Store) Stat(ctx context.Context, d digest.Digest) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return s.stat(d)
}

func (s *Store) stat(d digest.Digest) (int64, error) {
	path, err := s.path(d)
	if err != nil {
		return 0, err
	}
	info, err := blobAt(path)
	if err != nil {
		return 0, missing(d, err)
	}
	return info.Size(), nil
}

// Bytes is part of store.Getter.
func (s *Store) Bytes(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	f, err := s.open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.size > limit {
		return nil, fmt.Errorf("blob %s: %d bytes, at most %d wanted: %w", d, f.size, limit, store.ErrTooLarge)
	}
	b, err := fsx.Read(f, string(d), limit)
	if err != nil {
		return nil, err
	}
	if err := store.Same(d, digest.Of(b)); err != nil {
		return nil, err
	}
	return b, nil
}

// Remove is part of store.Blobs. Hard links made by Place stay.
func (s *Store) Remove(ctx context.Context, d digest.Digest) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := s.path(d)
	if err != nil {
		return err
	}
	return s.fs.Remove(path)
}

// List is part of store.Blobs. Files that are not named like a blob are passed over.
func (s *Store) List(ctx context.Context, visit func(d digest.Digest, size int64) error) error {
	dir, err := os.Open(filepath.Join(s.dir, store.BlobFolder))
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

// copy copies r to w through a pooled buffer until EOF, and checks ctx once per buffer. It blocks
// as r and w do.
func (s *Store) copy(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := fill(r, *buf)
		if n > 0 {
			m, werr := w.Write((*buf)[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
		}
		if err == io.EOF { //nolint:errorlint // an end that is wrapped is a failure of r
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// gather is how long copy goes on reading before it writes.
const gather = 50 * time.Millisecond

// fill reads from r until p is full, or for about as long as gather: what comes in small pieces is written and hashed in large
// ones, and what comes slowly as it comes.
func fill(r io.Reader, p []byte) (n int, err error) {
	for began := time.Now(); ; {
		var m int
		m, err = r.Read(p[n:])
		if n += m; n == len(p) || err != nil || time.Since(began) > gather {
			return n, err
		}
	}
}
