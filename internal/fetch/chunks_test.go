package fetch

import (
	"testing"

	"overland/internal/digest"
	"overland/internal/store"
)

func FuzzChunkList(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add(make([]byte, 64), int64(store.ChunkSize+1))
	f.Add(make([]byte, 33), int64(2*store.ChunkSize))
	f.Add([]byte{}, int64(-1))
	f.Add([]byte{}, int64(1<<63-1))
	f.Fuzz(func(t *testing.T, raw []byte, size int64) {
		list, err := parseChunks(raw, size)
		if err != nil {
			return
		}
		// Every byte of the blob has a chunk in the list.
		if size > 0 {
			_ = list.holds((size-1)/store.ChunkSize, make([]byte, digest.Size))
		}
	})
}
