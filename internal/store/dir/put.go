package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
)

const putPrefix = "put-"

// Put is part of store.Blobs.
func (s *Store) Put(ctx context.Context, r io.Reader, want digest.Digest, size int64) (digest.Digest, int64, error) {
	d, n, err := s.put(ctx, r, want, size)
	if err != nil {
		return "", 0, fmt.Errorf("put blob %s: %w", want, fsx.Full(err))
	}
	return d, n, nil
}

func (s *Store) put(ctx context.Context, r io.Reader, want digest.Digest, size int64) (digest.Digest, int64, error) {
	if want != "" {
		n, err := s.stat(want)
		if err == nil && (size < 0 || n == size) && s.wanted(want) {
			return want, n, nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return "", 0, err
		}
	}
	if size > 0 {
		if err := s.room(size); err != nil {
			return "", 0, err
		}
	}
	f, err := s.temp()
	if err != nil {
		return "", 0, err
	}
	kept := false
	defer func() {
		f.Close()
		if !kept {
			os.Remove(f.Name())
		}
	}()
	if size >= 0 {
		r = io.LimitReader(r, size+1)
	}
	h := digest.New()
	n, err := s.copy(ctx, &both{f: f, h: h, done: behind(f, size), room: looks{room: s.room}}, r)
	if err != nil {
		return "", 0, err
	}
	d := h.Digest()
	if (want != "" && d != want) || (size >= 0 && n != size) {
		return "", 0, errs.Errorf(errs.Untrusted, "got %d bytes named %s, want %d: %w", n, d, size, digest.ErrMismatch)
	}
	if err := s.publish(f, d, n); err != nil {
		return "", 0, err
	}
	kept = true
	return d, n, nil
}

// both writes to the file first, so that the hash never covers more than the file has.
type both struct {
	f    *fsx.File
	h    digest.Hasher
	off  int64
	done *fsx.Behind // nil when the file is to stay in memory
	room looks
}

func (b *both) Write(p []byte) (int, error) {
	if err := b.room.before(len(p)); err != nil {
		return 0, err
	}
	n, err := b.f.Write(p)
	b.h.Write(p[:n])
	if b.off += int64(n); b.done != nil {
		b.done.At(b.off)
	}
	return n, err
}

// behind returns what follows the writing of a blob of size bytes.
func behind(f *fsx.File, size int64) *fsx.Behind {
	if size < large {
		return nil
	}
	return &fsx.Behind{File: f.File, Written: true}
}

// publish gives the whole, verified file f its name, durably.
func (s *Store) publish(f *fsx.File, d digest.Digest, size int64) error {
	path, err := s.path(d)
	if err != nil {
		return err
	}
	// Everybody may read a blob, whatever the umask: services run as other users. Nobody writes it
	// again.
	if err := f.Chmod(blobMode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.Size() == size && s.wanted(d) {
		// Another writer was faster with the same bytes. Its file may have hard links by now, so it
		// stays.
		if err := s.fs.Remove(f.Name()); err != nil {
			return err
		}
	} else if err := s.fs.Rename(f.Name(), path); err != nil {
		return err
	}
	return s.fs.SyncDir(filepath.Dir(path))
}

// temp makes a new temporary file, locked so that Collect in another process lets it be.
func (s *Store) temp() (*fsx.File, error) {
	if err := s.folder(ingestFolder); err != nil {
		return nil, err
	}
	for {
		path := s.ingest(putPrefix + strconv.FormatUint(rand.Uint64(), 36))
		f, err := s.fs.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := f.TryLock(); err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(path))
		}
		return f, nil
	}
}

// Tidy removes temporary files and uploads that no writer has open and nobody has written for the
// time age. Others may write meanwhile.
func (s *Store) Tidy(ctx context.Context, age time.Duration) error {
	old := func(e fs.DirEntry) bool {
		info, err := e.Info()
		left := strings.HasPrefix(e.Name(), putPrefix) || strings.HasSuffix(e.Name(), partSuffix)
		return err == nil && left && time.Since(info.ModTime()) > age && ctx.Err() == nil
	}
	if err := s.sweep(old); err != nil {
		return fmt.Errorf("tidy depot %s: %w", s.dir, err)
	}
	return ctx.Err()
}

// temporary reports whether e is a file of Put, and not of an upload whose id begins like one.
func temporary(e fs.DirEntry) bool {
	return strings.HasPrefix(e.Name(), putPrefix) && !strings.HasSuffix(e.Name(), partSuffix)
}

// sweep removes the files below ingest/ that which selects and no writer has open.
func (s *Store) sweep(which func(fs.DirEntry) bool) error {
	entries, err := os.ReadDir(s.ingest(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !which(e) {
			continue
		}
		f, err := s.fs.OpenFile(s.ingest(e.Name()), os.O_RDWR, 0)
		if err != nil {
			continue // gone meanwhile
		}
		if f.TryLock() == nil {
			err = s.fs.Remove(f.Name())
		}
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
