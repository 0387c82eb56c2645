package inspect

import (
	"context"
	"io"

	"overland/internal/digest"
	"overland/internal/store"
)

// Depot is a depot's blobs as Blobs.
type Depot struct{ store.Blobs }

// Section is that of Blobs.
func (b Depot) Section(ctx context.Context, d digest.Digest) (*io.SectionReader, io.Closer, error) {
	f, err := b.Open(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	return io.NewSectionReader(f, 0, f.Size()), f, nil
}
