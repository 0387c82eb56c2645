package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

var _ store.Store = (*Store)(nil)

// Store is a store in memory. The zero value is an empty one. It is safe for concurrent use and
// must not be copied.
type Store struct {
	mu      sync.Mutex
	blobs   map[digest.Digest][]byte
	tags    []ocispec.Descriptor
	uploads map[string]*state
}

// get returns the bytes of blob d.
func (s *Store) get(ctx context.Context, d digest.Digest) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := digest.Parse(string(d)); err != nil {
		return nil, errs.E(errs.Invalid, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[d]
	if !ok {
		return nil, errs.Errorf(errs.NotFound, "blob %s: %w", d, store.ErrNotFound)
	}
	return b, nil
}

func (s *Store) set(d digest.Digest, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blobs == nil {
		s.blobs = map[digest.Digest][]byte{}
	}
	s.blobs[d] = b
}

// file is an open blob.
type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

// Open is part of store.Blobs.
func (s *Store) Open(ctx context.Context, d digest.Digest) (store.Blob, error) {
	b, err := s.get(ctx, d)
	if err != nil {
		return nil, err
	}
	return file{bytes.NewReader(b)}, nil
}

// Stat is part of store.Blobs.
func (s *Store) Stat(ctx context.Context, d digest.Digest) (int64, error) {
	b, err := s.get(ctx, d)
	return int64(len(b)), err
}

// Bytes is part of store.Getter.
func (s *Store) Bytes(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	b, err := s.get(ctx, d)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("blob %s: %d bytes, at most %d wanted: %w", d, len(b), limit, store.ErrTooLarge)
	}
	if err := store.Same(d, digest.Of(b)); err != nil {
		return nil, err
	}
	return bytes.Clone(b), nil
}

// Put is part of store.Blobs.
func (s *Store) Put(ctx context.Context, r io.Reader, want digest.Digest, size int64) (digest.Digest, int64, error) {
	if want != "" {
		there, err := store.HasSize(ctx, s, want, size)
		if err != nil {
			return "", 0, fmt.Errorf("put blob %s: %w", want, err)
		}
		if there {
			n, err := s.Stat(ctx, want)
			return want, n, err
		}
	}
	if size >= 0 {
		r = io.LimitReader(r, size+1)
	}
	b, err := io.ReadAll(r)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return "", 0, fmt.Errorf("put blob %s: %w", want, err)
	}
	d, n := digest.Of(b), int64(len(b))
	if (want != "" && d != want) || (size >= 0 && n != size) {
		return "", 0, errs.Errorf(errs.Untrusted, "put blob %s: got %d bytes named %s: %w", want, n, d, digest.ErrMismatch)
	}
	s.set(d, b)
	return d, n, nil
}

// Remove is part of store.Blobs.
func (s *Store) Remove(ctx context.Context, d digest.Digest) error {
	if _, err := s.get(ctx, d); errs.KindOf(err) != errs.NotFound && err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, d)
	return nil
}

// List is part of store.Blobs.
func (s *Store) List(ctx context.Context, visit func(d digest.Digest, size int64) error) error {
	s.mu.Lock()
	blobs := maps.Clone(s.blobs)
	s.mu.Unlock()
	for d, b := range blobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(d, int64(len(b))); err != nil {
			return err
		}
	}
	return nil
}

// Tag is part of store.Tags.
func (s *Store) Tag(ctx context.Context, name string, desc ocispec.Descriptor) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := store.WithTag(s.tags, name, desc)
	if err == nil {
		s.tags = list
	}
	return err
}

// Untag is part of store.Tags.
func (s *Store) Untag(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tags = store.WithoutTag(s.tags, name)
	return nil
}

// Resolve is part of store.Tags.
func (s *Store) Resolve(ctx context.Context, name string) (ocispec.Descriptor, error) {
	list, err := s.Tags(ctx)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return store.FindTag(list, name)
}

// Tags is part of store.Tags.
func (s *Store) Tags(ctx context.Context) ([]ocispec.Descriptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.tags)
	slices.SortFunc(list, func(a, b ocispec.Descriptor) int { return strings.Compare(store.TagOf(a), store.TagOf(b)) })
	return list, ctx.Err()
}

// Stage is part of store.Stager.
func (s *Store) Stage(ctx context.Context, f *os.File, _ store.Known) (store.Staged, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read what is to be a blob: %w", err)
	}
	b, err := io.ReadAll(f)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("read what is to be a blob: %w", err)
	}
	return &staged{s, b, digest.Of(b)}, nil
}

type staged struct {
	s *Store
	b []byte
	d digest.Digest
}

func (g *staged) Digest() digest.Digest { return g.d }

func (g *staged) Size() int64 { return int64(len(g.b)) }

func (g *staged) Open() (store.Blob, error) { return file{bytes.NewReader(g.b)}, nil }

func (g *staged) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put blob %s: %w", g.d, err)
	}
	g.s.set(g.d, g.b)
	return nil
}
