package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Ingest is one blob on its way into the depot, written from front to back. What was written survives kill -9: the
// next Begin goes on at Offset. It is for one goroutine. The caller ends it with Close, which keeps the partial blob,
// or Discard; after Commit both do nothing.
//
// The bytes of a partial blob are not trusted: after a power cut they may be anything. The first Write
// after a resume hashes them, Commit judges the whole; a caller with a chunk list can tell a good prefix through ReadAt.
type Ingest struct {
	s      *Store
	d      digest.Digest
	size   int64
	f      *fsx.File
	off    int64         // bytes in the file
	h      digest.Hasher // of the first hashed bytes
	hashed int64
	done   *fsx.Behind
	closed bool
}

// Begin starts or resumes blob d of size bytes (-1 = unknown). Errors: ErrExists when the depot has it, ErrBusy when
// another Ingest of any process is writing it (both errs.Conflict), errs.Unavailable when the disk has no room.
func (s *Store) Begin(d digest.Digest, size int64) (*Ingest, error) {
	i, err := s.begin(d, size)
	if err != nil {
		return nil, fmt.Errorf("begin blob %s: %w", d, Full(err))
	}
	return i, nil
}

func (s *Store) begin(d digest.Digest, size int64) (*Ingest, error) {
	if _, err := s.path(d); err != nil {
		return nil, err
	}
	if err := s.folder(ingestFolder); err != nil {
		return nil, err
	}
	f, err := s.part(d, size)
	if err != nil {
		return nil, err
	}
	i := &Ingest{s: s, d: d, size: size, f: f, h: digest.New(), done: behind(f, size)}
	if err := i.resume(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return i, nil
}

// part opens and locks the partial file of d.
func (s *Store) part(d digest.Digest, size int64) (*fsx.File, error) {
	path := s.ingest(d.Encoded() + partSuffix)
	there := func() bool {
		n, err := s.Size(d)
		return err == nil && (size < 0 || n == size)
	}
	for !there() {
		f, err := s.fs.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		mine, err := locked(f)
		switch {
		case errors.Is(err, fsx.ErrLocked):
			return nil, errors.Join(errs.E(errs.Conflict, ErrBusy), f.Close())
		case err != nil:
			return nil, errors.Join(err, f.Close())
		case mine && !there():
			return f, nil
		case mine: // committed after we looked and before we opened: this file is a new one, and idle
			err = s.fs.Remove(path)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return nil, errs.E(errs.Conflict, ErrExists)
}

// locked takes the lock of f and reports whether f still has its name. Between open and lock the last writer may have
// committed: then f is a finished blob, not to be touched.
func locked(f *fsx.File) (bool, error) {
	if err := f.TryLock(); err != nil {
		return false, err
	}
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Stat(f.Name())
	return err == nil && os.SameFile(mine, now), nil
}

func (i *Ingest) resume() error {
	info, err := i.f.Stat()
	if err != nil {
		return err
	}
	i.off = info.Size()
	if i.size >= 0 && i.off > i.size { // longer than the blob: not a prefix of it
		if err := i.Truncate(0); err != nil {
			return err
		}
	}
	if i.size >= 0 {
		if err := i.s.room(i.size - i.off); err != nil {
			return err
		}
	}
	if i.done != nil {
		i.done.Start(i.off)
	}
	_, err = i.f.Seek(i.off, io.SeekStart)
	return err
}

// Offset returns how many bytes are there: where the next Write goes.
func (i *Ingest) Offset() int64 { return i.off }

// Room returns an error (errs.Unavailable) when the disk cannot take n more bytes: for a blob whose size was not known
// when it was begun.
func (i *Ingest) Room(n int64) error { return i.s.room(n) }

// Write appends p. More than size bytes are refused with an error that wraps digest.ErrMismatch (errs.Untrusted).
func (i *Ingest) Write(p []byte) (int, error) {
	if i.size >= 0 && i.off+int64(len(p)) > i.size {
		return 0, errs.Errorf(errs.Untrusted, "blob %s: more than %d bytes: %w", i.d, i.size, digest.ErrMismatch)
	}
	if err := i.catchUp(context.Background()); err != nil {
		return 0, err
	}
	n, err := i.f.Write(p)
	i.h.Write(p[:n])
	i.off += int64(n)
	i.hashed = i.off
	if i.done != nil {
		i.done.At(i.off)
	}
	return n, Full(err)
}

// catchUp hashes what is in the file and was not hashed yet: once after a resume or a Truncate.
func (i *Ingest) catchUp(ctx context.Context) error {
	if i.hashed == i.off {
		return nil
	}
	n, err := i.s.copy(ctx, i.h, io.NewSectionReader(i.f, i.hashed, i.off-i.hashed))
	i.hashed += n
	if err == nil && i.hashed != i.off {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// ReadFrom appends what r yields until EOF, through one large buffer.
func (i *Ingest) ReadFrom(r io.Reader) (int64, error) {
	return i.s.copy(context.Background(), writer{i}, r)
}

type writer struct{ io.Writer } // hides ReadFrom

// ReadAt reads bytes that are there already, as io.ReaderAt.
func (i *Ingest) ReadAt(p []byte, off int64) (int, error) { return i.f.ReadAt(p, off) }

// Truncate drops the bytes from offset off on, 0 ≤ off ≤ Offset.
func (i *Ingest) Truncate(off int64) error {
	if off < 0 || off > i.off {
		return fmt.Errorf("truncate blob %s: offset %d of %d", i.d, off, i.off)
	}
	if err := i.f.Truncate(off); err != nil {
		return err
	}
	i.off = off
	if i.hashed > off {
		i.h.Reset()
		i.hashed = 0
	}
	_, err := i.f.Seek(off, io.SeekStart)
	return err
}

// Sync makes the bytes that are there survive a power cut.
func (i *Ingest) Sync() error { return Full(i.f.Sync()) }

// Commit checks the whole against d and size, makes it durable, and only then visible; it ends the Ingest. What was
// written through this Ingest is not read again. When the bytes are not d the error wraps digest.ErrMismatch
// (errs.Untrusted) and the partial blob stays: truncate it to what is known good, or Discard it.
func (i *Ingest) Commit(ctx context.Context) error {
	if err := i.commit(ctx); err != nil {
		return fmt.Errorf("commit blob %s: %w", i.d, Full(err))
	}
	return nil
}

func (i *Ingest) commit(ctx context.Context) error {
	if i.size >= 0 && i.off != i.size {
		return errs.Errorf(errs.Untrusted, "%d of %d bytes: %w", i.off, i.size, digest.ErrMismatch)
	}
	if err := i.catchUp(ctx); err != nil {
		return err
	}
	if got := i.h.Digest(); got != i.d {
		return errs.Errorf(errs.Untrusted, "its bytes are %s: %w", got, digest.ErrMismatch)
	}
	if err := i.s.publish(i.f, i.d, i.off); err != nil {
		return err
	}
	i.closed = true
	return i.f.Close()
}

// Close ends the Ingest and keeps the partial blob for the next Begin. After Commit or Discard it does nothing.
func (i *Ingest) Close() error {
	if i.closed {
		return nil
	}
	i.closed = true
	return i.f.Close()
}

// Discard ends the Ingest and removes the partial blob. After Commit or Close it does nothing.
func (i *Ingest) Discard() error {
	if i.closed {
		return nil
	}
	i.closed = true
	// Removed before the lock goes: the next writer must not find a file that is about to vanish.
	return errors.Join(i.s.fs.Remove(i.f.Name()), i.f.Close())
}
