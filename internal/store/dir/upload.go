package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
)

// upload is one blob on its way into the depot: the file ingest/ID.part, locked by its writer.
type upload struct {
	s      *Store
	id     string
	size   int64 // -1 = unknown
	f      *fsx.File
	off    int64         // bytes in the file
	h      digest.Hasher // of the first hashed bytes
	hashed int64
	done   *fsx.Behind
	room   looks
	closed bool
}

// Begin is part of store.Uploads.
func (s *Store) Begin(ctx context.Context, id string, size int64) (store.Upload, error) {
	u, err := s.begin(ctx, id, size)
	if err != nil {
		return nil, fmt.Errorf("upload %s: %w", id, fsx.Full(err))
	}
	return u, nil
}

func (s *Store) begin(ctx context.Context, id string, size int64) (*upload, error) {
	if err := store.CheckUploadID(id); err != nil {
		return nil, err
	}
	if err := s.folder(ingestFolder); err != nil {
		return nil, err
	}
	f, err := s.part(ctx, id)
	if err != nil {
		return nil, err
	}
	u := &upload{s: s, id: id, size: size, f: f, h: digest.New(), done: behind(f, size), room: looks{room: s.room}}
	if err := u.resume(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return u, nil
}

// Pending is part of store.Uploads.
func (s *Store) Pending(ctx context.Context, prefix string, visit func(id string, size int64, last time.Time) error) error {
	entries, err := os.ReadDir(s.ingest(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("uploads of depot %s: %w", s.dir, err)
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), partSuffix)
		if !ok || !strings.HasPrefix(id, prefix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // committed meanwhile
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = visit(id, info.Size(), info.ModTime())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// part opens and locks the partial file of the upload id.
func (s *Store) part(ctx context.Context, id string) (*fsx.File, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := s.fs.OpenFile(s.ingest(id+partSuffix), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		mine, err := locked(f)
		switch {
		case errors.Is(err, fsx.ErrLocked):
			return nil, errors.Join(errs.E(errs.Conflict, store.ErrBusy), f.Close())
		case err != nil:
			return nil, errors.Join(err, f.Close())
		case mine:
			return f, nil
		}
		if err := f.Close(); err != nil { // the last writer committed or discarded it: begin a new one
			return nil, err
		}
	}
}

// locked takes the lock of f and reports whether f still has its name. The last writer may have
// committed between open and lock: then f is a finished blob, which must not be touched.
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

func (u *upload) resume() error {
	info, err := u.f.Stat()
	if err != nil {
		return err
	}
	u.off = info.Size()
	if u.size >= 0 && u.off > u.size { // longer than the blob: not a prefix of it
		if err := u.Truncate(0); err != nil {
			return err
		}
	}
	if u.size >= 0 {
		if err := u.s.room(u.size - u.off); err != nil {
			return err
		}
	}
	if u.done != nil {
		u.done.Start(u.off)
	}
	_, err = u.f.Seek(u.off, io.SeekStart)
	return err
}

// Offset is part of store.Upload.
func (u *upload) Offset() int64 { return u.off }

// Reserve is part of store.Upload.
func (u *upload) Reserve(n int64) error { return u.s.room(n) }

// Write is part of store.Upload.
func (u *upload) Write(p []byte) (int, error) {
	if u.size >= 0 && u.off+int64(len(p)) > u.size {
		return 0, errs.Errorf(errs.Untrusted, "upload %s: more than %d bytes: %w", u.id, u.size, digest.ErrMismatch)
	}
	if err := u.catchUp(context.Background()); err != nil {
		return 0, err
	}
	if err := u.room.before(len(p)); err != nil {
		return 0, err
	}
	n, err := u.f.Write(p)
	u.h.Write(p[:n])
	u.off += int64(n)
	u.hashed = u.off
	if u.done != nil {
		u.done.At(u.off)
	}
	return n, fsx.Full(err)
}

// catchUp hashes the bytes of the file that were not hashed yet: those of an earlier writer, or all
// after a Truncate.
func (u *upload) catchUp(ctx context.Context) error {
	if u.hashed == u.off {
		return nil
	}
	n, err := u.s.copy(ctx, u.h, io.NewSectionReader(u.f, u.hashed, u.off-u.hashed))
	u.hashed += n
	if err == nil && u.hashed != u.off {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// ReadFrom appends what r yields until EOF, through one large buffer.
func (u *upload) ReadFrom(r io.Reader) (int64, error) {
	return u.s.copy(context.Background(), writer{u}, r)
}

type writer struct{ io.Writer } // hides ReadFrom

// ReadAt is part of store.Upload.
func (u *upload) ReadAt(p []byte, off int64) (int, error) { return u.f.ReadAt(p, off) }

// Truncate is part of store.Upload.
func (u *upload) Truncate(off int64) error {
	if off < 0 || off > u.off {
		return fmt.Errorf("truncate upload %s: offset %d of %d", u.id, off, u.off)
	}
	if err := u.f.Truncate(off); err != nil {
		return err
	}
	u.off = off
	if u.hashed > off {
		u.h.Reset()
		u.hashed = 0
	}
	_, err := u.f.Seek(off, io.SeekStart)
	return err
}

// Sync is part of store.Upload.
func (u *upload) Sync() error { return fsx.Full(u.f.Sync()) }

// Digest is part of store.Upload.
func (u *upload) Digest(ctx context.Context) (digest.Digest, error) {
	if err := u.catchUp(ctx); err != nil {
		return "", fmt.Errorf("upload %s: %w", u.id, err)
	}
	return u.h.Digest(), nil
}

// Commit is part of store.Upload. What was written through this upload is not read again.
func (u *upload) Commit(ctx context.Context, d digest.Digest) error {
	if err := u.commit(ctx, d); err != nil {
		return fmt.Errorf("commit blob %s: %w", d, fsx.Full(err))
	}
	return nil
}

func (u *upload) commit(ctx context.Context, d digest.Digest) error {
	if _, err := u.s.path(d); err != nil {
		return err
	}
	if u.size >= 0 && u.off != u.size {
		return errs.Errorf(errs.Untrusted, "%d of %d bytes: %w", u.off, u.size, digest.ErrMismatch)
	}
	if err := u.catchUp(ctx); err != nil {
		return err
	}
	if got := u.h.Digest(); got != d {
		return errs.Errorf(errs.Untrusted, "its bytes are %s: %w", got, digest.ErrMismatch)
	}
	if err := u.s.publish(u.f, d, u.off); err != nil {
		return err
	}
	u.closed = true
	return u.f.Close()
}

// Close is part of store.Upload.
func (u *upload) Close() error {
	if u.closed {
		return nil
	}
	u.closed = true
	return u.f.Close()
}

// Discard is part of store.Upload.
func (u *upload) Discard() error {
	if u.closed {
		return nil
	}
	u.closed = true
	// Removed before the lock goes: the next writer must not find a file that is about to vanish.
	return errors.Join(u.s.fs.Remove(u.f.Name()), u.f.Close())
}
