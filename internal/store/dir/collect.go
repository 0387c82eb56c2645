package dir

import (
	"context"
	"fmt"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/store"
)

// Collect removes every blob that neither roots nor the tags of index.json reach, and the temporary
// files of writers that died; it returns how many bytes that freed (less where hard links remain).
// Partial blobs stay, to be resumed.
//
// A document that is missing reaches nothing: a node keeps only its platform's part of a release.
// One that cannot be read ends Collect before anything is removed. The caller makes sure that
// nobody adds blobs meanwhile that nothing reaches yet.
//
// known are the claims (see Claim) whose blobs are among roots. When the depot has another claim
// nothing is removed (errs.Conflict): the caller has not asked everybody.
func (s *Store) Collect(ctx context.Context, roots []ocispec.Descriptor, known ...string) (freed int64, err error) {
	if err = s.Unclaimed(known...); err == nil {
		freed, err = s.collect(ctx, roots)
	}
	if err != nil {
		return freed, fmt.Errorf("collect depot %s: %w", s.dir, err)
	}
	return freed, nil
}

func (s *Store) collect(ctx context.Context, roots []ocispec.Descriptor) (int64, error) {
	tags, err := s.Tags(ctx)
	if err != nil {
		return 0, err
	}
	marked, err := store.Marked(ctx, s, slices.Concat(roots, tags))
	if err != nil {
		return 0, err
	}
	var freed int64
	err = s.List(ctx, func(d digest.Digest, size int64) error {
		if marked[d] {
			return nil
		}
		if err := s.Remove(ctx, d); err != nil {
			return err
		}
		freed += size
		return nil
	})
	if err != nil {
		return freed, err
	}
	return freed, s.sweep(temporary)
}
