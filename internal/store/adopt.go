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
	"overland/internal/fsx"
)

// Staged is a file that is to become a blob: its name is known, it has none yet.
type Staged struct {
	Digest digest.Digest
	Size   int64 // in bytes

	s *Store
	f *os.File
}

// Stage reads the file f, which fsx.FS.Nameless made and nobody writes any more, from its start.
func (s *Store) Stage(ctx context.Context, f *os.File) (*Staged, error) {
	d, n, err := s.hash(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("read what is to be a blob: %w", err)
	}
	return &Staged{Digest: d, Size: n, s: s, f: f}, nil
}

// Commit puts the file into the depot and returns when it will survive a power cut. Where it lies on the depot's disk
// nothing is copied: it gets the blob's name itself.
func (g *Staged) Commit(ctx context.Context) error {
	if err := g.commit(ctx); err != nil {
		return fmt.Errorf("put blob %s: %w", g.Digest, Full(err))
	}
	return nil
}

func (g *Staged) commit(ctx context.Context) error {
	if n, err := g.s.Size(g.Digest); err == nil && n == g.Size {
		return nil
	}
	if err := g.s.room(0); err != nil {
		return err
	}
	switch err := g.s.name(g.f, g.Digest); {
	case err == nil:
		return nil
	case cannotLink(err), errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrNotExist): // as without /proc
	case errors.Is(err, fs.ErrExist): // somebody was faster, or what is there has another length
	default:
		return err
	}
	if _, err := g.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, _, err := g.s.put(ctx, g.f, g.Digest, g.Size)
	return err
}

// Open opens the file for reading before it is in the depot; errors.ErrUnsupported where the system cannot. The caller
// closes the blob. Not after the file was closed.
func (g *Staged) Open() (*Blob, error) {
	f, err := fsx.Reopen(g.f)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", g.Digest, err)
	}
	return NewBlob(f, g.Size), nil
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
