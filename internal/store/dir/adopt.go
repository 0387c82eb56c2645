package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/store"
)

// staged is a file that may become a blob of s.
type staged struct {
	digest digest.Digest
	size   int64 // in bytes

	s *Store
	f *os.File
}

// Stage is part of store.Stager.
func (s *Store) Stage(ctx context.Context, f *os.File, known store.Known) (store.Staged, error) {
	if known.Digest != "" {
		if info, err := f.Stat(); err == nil && info.Size() == known.Size {
			return &staged{digest: known.Digest, size: known.Size, s: s, f: f}, nil
		}
	}
	d, n, err := s.hash(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("read what is to be a blob: %w", err)
	}
	return &staged{digest: d, size: n, s: s, f: f}, nil
}

func (g *staged) Digest() digest.Digest { return g.digest }

func (g *staged) Size() int64 { return g.size }

// Commit is part of store.Staged. Nothing is copied where the file lies on the depot's file system:
// it gets the blob's name.
func (g *staged) Commit(ctx context.Context) error {
	if err := g.commit(ctx); err != nil {
		return fmt.Errorf("put blob %s: %w", g.digest, fsx.Full(err))
	}
	return nil
}

func (g *staged) commit(ctx context.Context) error {
	if n, err := g.s.stat(g.digest); err == nil && n == g.size && g.s.wanted(g.digest) {
		return nil
	}
	if err := g.s.room(0); err != nil {
		return err
	}
	switch err := g.s.name(g.f, g.digest); {
	case err == nil:
		return nil
	case cannotLink(err), errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrNotExist): // as without /proc
	case errors.Is(err, fs.ErrExist): // another writer was faster, or a file of another length is there
	default:
		return err
	}
	if _, err := g.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, _, err := g.s.put(ctx, g.f, g.digest, g.size)
	return err
}

// Open is part of store.Staged.
func (g *staged) Open() (store.Blob, error) {
	f, err := fsx.Reopen(g.f)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", g.digest, err)
	}
	return &file{f, g.size}, nil
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
