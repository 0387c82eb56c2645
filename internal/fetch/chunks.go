package fetch

import (
	"bytes"
	"context"
	"fmt"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// chunkList is the raw sha256 of each store.ChunkSize bytes of a blob.
type chunkList []byte

// parseChunks returns raw as the chunk list of a blob of size bytes, or
// an error when it cannot be that.
func parseChunks(raw []byte, size int64) (chunkList, error) {
	if want := chunkCount(size) * digest.Size; int64(len(raw)) != want {
		return nil, fmt.Errorf("chunk list of %d bytes for a blob of %d: want %d bytes", len(raw), size, want)
	}
	return chunkList(raw), nil
}

func chunkCount(size int64) int64 { return (size + store.ChunkSize - 1) / store.ChunkSize }

// holds reports whether chunk i has the raw sum.
func (c chunkList) holds(i int64, sum []byte) bool {
	return bytes.Equal(c[i*digest.Size:(i+1)*digest.Size], sum)
}

// chunks returns the chunk list of b, fetched as any blob is; nil when b
// has none, or no source has it.
func (f *Fetcher) chunks(ctx context.Context, b Blob) (chunkList, error) {
	if b.Chunks == "" || b.Size <= store.ChunkSize {
		return nil, nil
	}
	size := chunkCount(b.Size) * digest.Size
	err := f.Fetch(ctx, Blob{Digest: b.Chunks, Size: size})
	if errs.KindOf(err) == errs.NotFound {
		// The blob's own digest still guards it: a bad byte then costs the
		// whole blob instead of one chunk.
		f.o.Log.Warn("no source has the chunk list", "blob", b.Digest, "list", b.Chunks)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("chunk list of %s: %w", b.Digest, err)
	}
	raw, err := f.store.Bytes(ctx, b.Chunks, size)
	if err != nil {
		return nil, fmt.Errorf("chunk list of %s: %w", b.Digest, err)
	}
	list, err := parseChunks(raw, b.Size)
	if err != nil {
		return nil, errs.E(errs.Untrusted, fmt.Errorf("%s: %w", b.Digest, err))
	}
	return list, nil
}
