package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
)

// indexLock is taken to change index.json.
const indexLock = "index.lock"

// Tag is part of store.Tags. Processes that tag at the same time wait for each other.
func (s *Store) Tag(ctx context.Context, name string, desc ocispec.Descriptor) error {
	return s.changeIndex(ctx, func(list []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return store.WithTag(list, name, desc)
	})
}

// Untag is part of store.Tags. The blobs stay until Collect.
func (s *Store) Untag(ctx context.Context, name string) error {
	return s.changeIndex(ctx, func(list []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return store.WithoutTag(list, name), nil
	})
}

// Resolve is part of store.Tags.
func (s *Store) Resolve(ctx context.Context, name string) (ocispec.Descriptor, error) {
	list, err := s.Tags(ctx)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return store.FindTag(list, name)
}

// Tags is part of store.Tags: it returns all that index.json lists, also what has no name.
func (s *Store) Tags(ctx context.Context) ([]ocispec.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := fsx.ReadFile(s.indexPath(), store.IndexLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := store.ParseIndex(b)
	if err != nil {
		return nil, errs.Hint(fmt.Errorf("%s: %w", s.indexPath(), err),
			"it only holds names, no blob is lost: move it away and tag (or release) again, or put back a copy")
	}
	return list, nil
}

func (s *Store) indexPath() string { return filepath.Join(s.dir, ocispec.ImageIndexFile) }

func (s *Store) changeIndex(ctx context.Context, change func([]ocispec.Descriptor) ([]ocispec.Descriptor, error)) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.folder(ingestFolder); err != nil {
		return fsx.Full(err)
	}
	lock, err := fsx.WaitLock(s.ingest(indexLock))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	// Under the lock nobody else has a temporary index: what is there was left by a writer that
	// died.
	stale, err := filepath.Glob(filepath.Join(s.dir, "."+ocispec.ImageIndexFile+".tmp-*"))
	if err != nil {
		return err
	}
	for _, path := range stale {
		if err := s.fs.Remove(path); err != nil {
			return err
		}
	}
	list, err := s.Tags(ctx)
	if err == nil {
		list, err = change(list)
	}
	if err != nil {
		return err
	}
	b, err := store.MarshalIndex(list)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(s.indexPath()); err == nil && string(old) == string(b) {
		return nil
	}
	return fsx.Full(s.fs.WriteFile(s.indexPath(), b, 0o644))
}
