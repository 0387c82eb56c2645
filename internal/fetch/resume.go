package fetch

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"overland/internal/digest"
	"overland/internal/store"
)

// resume takes over what an earlier call left on the disk. With a chunk list, a prefix that a power
// cut spoiled is found now and costs its chunks; without, it is found when the blob is whole.
func (t *transfer) resume(ctx context.Context) error {
	t.off = t.in.Offset()
	if t.list != nil {
		for at := int64(0); at < t.off; at += store.ChunkSize {
			if err := ctx.Err(); err != nil {
				return err
			}
			size := min(store.ChunkSize, t.b.Size-at)
			if t.off-at < size {
				break
			}
			sum, err := t.hash(at, size)
			if err != nil {
				return err
			}
			if !t.list.holds(at/store.ChunkSize, sum.Sum(nil)) {
				t.f.o.Log.Warn("the disk spoiled a partial blob", "blob", t.b.Digest, "kept", at, "dropped", t.off-at)
				if err := t.in.Truncate(at); err != nil {
					return err
				}
				t.off = at
			}
		}
	}
	if t.off > t.start() {
		t.parts = append(t.parts, part{disk, t.off})
	}
	t.best = t.off
	t.meter.e.Done = t.off
	return t.rehash()
}

// rehash makes sum that of the unfinished chunk's bytes.
func (t *transfer) rehash() error {
	if t.list == nil {
		return nil
	}
	sum, err := t.hash(t.start(), t.off-t.start())
	t.sum = sum
	return err
}

func (t *transfer) hash(at, size int64) (digest.Hasher, error) {
	h := digest.New()
	_, err := io.CopyBuffer(h, io.NewSectionReader(t.in, at, size), t.buf)
	return h, err
}

// skip reads the prefix that is on the disk already from a source that can start only at 0,
// and compares. A chunk that was verified accuses a source that differs; in the unfinished
// unit it is the disk that gives way.
func (t *transfer) skip(i int, r io.Reader) error {
	sure := int64(0) // bytes that are known to be the blob's
	if t.list != nil {
		sure = t.start()
	}
	have := make([]byte, len(t.buf))
	for at := int64(0); at < t.off; {
		n, err := r.Read(t.buf[:min(int64(len(t.buf)), t.off-at)])
		t.meter.moved(t.name(i), n, t.off)
		if _, err := t.in.ReadAt(have[:n], at); err != nil {
			return &diskError{err}
		}
		if k := differ(t.buf[:n], have[:n]); k >= 0 {
			if at+int64(k) < sure {
				return fmt.Errorf("byte %d: %w", at+int64(k), digest.ErrMismatch)
			}
			if err := t.truncate(at + int64(k)); err != nil {
				return &diskError{err}
			}
			return t.write(i, t.buf[k:n])
		}
		at += int64(n)
		if err == io.EOF && at < t.off {
			return fmt.Errorf("%w: after %d bytes", ErrShort, at)
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

// differ returns the index of the first byte that differs in two slices of one length, or -1.
func differ(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
