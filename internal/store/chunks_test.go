package store_test

import (
	"bytes"
	"io"
	"testing"

	"overland/internal/digest"
	"overland/internal/store"
	"overland/internal/store/storetest"
)

func TestChunks(t *testing.T) {
	for _, n := range []int{0, 1, store.ChunkSize - 1, store.ChunkSize, store.ChunkSize + 1, 3*store.ChunkSize + 5} {
		b := storetest.Noise(n, int64(n))
		list, err := store.Chunks(slow{bytes.NewReader(b)})
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for off := 0; off < n; off += store.ChunkSize {
			raw := digest.New()
			raw.Write(b[off:min(off+store.ChunkSize, n)])
			want = raw.Sum(want)
		}
		if !bytes.Equal(list, want) {
			t.Errorf("%d bytes: list of %d bytes, want %d", n, len(list), len(want))
		}
	}
}

// slow never fills the buffer, as a slow link does.
type slow struct{ r io.Reader }

func (o slow) Read(p []byte) (int, error) { return o.r.Read(p[:max(1, len(p)-1)]) }
