package fetch

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// suspect is a bad unit, with the source of each part of it.
type suspect struct {
	at    int64
	bytes []byte
	parts []part
}

// accuse excludes source i for this blob, now and in later calls, and reports it to Options.Liar.
func (t *transfer) accuse(i int, err error) {
	t.src[i].err, t.src[i].out, t.src[i].over = err, true, lied
	t.f.mu.Lock()
	_, known := t.f.liars[liar{t.ids[i], t.b.Digest}]
	if len(t.f.liars) < mostLiars {
		t.f.liars[liar{t.ids[i], t.b.Digest}] = err
	}
	t.f.mu.Unlock()
	if known {
		return
	}
	t.f.o.Log.Warn("source sent bytes of something else; it is not asked for this blob again",
		"source", t.name(i), "blob", t.b.Digest, "error", err)
	if t.f.o.Liar != nil {
		t.f.o.Liar(&SourceError{Source: t.name(i), Digest: t.b.Digest, Err: err})
	}
}

// chunk verifies the chunk that ends at off. A bad one is dropped from the disk; the error accuses
// source i when it alone sent the chunk.
func (t *transfer) chunk(i int) error {
	at := (t.off - 1) / store.ChunkSize * store.ChunkSize
	if t.list.holds(at/store.ChunkSize, t.sum.Sum(nil)) {
		err := t.compare(at, t.in)
		t.sum.Reset()
		t.parts, t.solo = t.parts[:0], false
		return err
	}
	t.meter.moved(t.name(i), 0, at)
	alone := len(t.parts) == 1 && t.parts[0].source == i
	if !alone {
		if err := t.suspect(at); err != nil {
			return err
		}
	}
	if err := t.truncate(at); err != nil {
		return &diskError{err}
	}
	if alone {
		return fmt.Errorf("chunk %d: %w", at/store.ChunkSize, digest.ErrMismatch)
	}
	return fmt.Errorf("chunk %d, from several sources, is bad", at/store.ChunkSize)
}

// mismatch handles a blob that is whole and is not the right one. The error
// that it returns ends the call.
func (t *transfer) mismatch(err error) error {
	if t.list != nil {
		// Every chunk is as its list says: list and blob do not belong
		// together, and no source can mend that.
		if derr := t.in.Discard(); derr != nil {
			return explainDisk(t.b.Digest, derr)
		}
		return errs.Hint(errs.E(errs.Untrusted, fmt.Errorf("fetch %s: its chunk list %s is of another blob: %w",
			t.b.Digest, t.b.Chunks, err)), "the release is broken where it was made: release it again")
	}
	if len(t.parts) == 1 && t.parts[0].source != disk {
		t.accuse(t.parts[0].source, err)
	} else if serr := t.suspect(0); serr != nil {
		return explainDisk(t.b.Digest, serr)
	}
	if err := t.truncate(0); err != nil {
		return explainDisk(t.b.Digest, err)
	}
	return nil
}

// suspect remembers the bad unit at offset at, and asks one source alone for it
// next, when several may be to blame.
func (t *transfer) suspect(at int64) error {
	t.solo = t.solo || len(t.parts) > 1
	const most = 4
	if t.off-at > store.ChunkSize || len(t.bad) == most {
		return nil
	}
	s := suspect{at: at, bytes: make([]byte, t.off-at), parts: append([]part(nil), t.parts...)}
	if _, err := t.in.ReadAt(s.bytes, at); err != nil {
		return &diskError{err}
	}
	t.bad = append(t.bad, s)
	return nil
}

// compare accuses the sources that spoiled the unit at offset at, now that a good copy is there.
func (t *transfer) compare(at int64, unit io.ReaderAt) error {
	for _, s := range t.bad {
		if s.at != at {
			continue
		}
		good := make([]byte, len(s.bytes))
		if _, err := unit.ReadAt(good, at); err != nil {
			return &diskError{err}
		}
		from := int64(0)
		for _, p := range s.parts {
			to := p.end - at
			if p.source != disk && !bytes.Equal(good[from:to], s.bytes[from:to]) {
				t.accuse(p.source, fmt.Errorf("bytes %d to %d: %w", at+from, at+to-1, digest.ErrMismatch))
			}
			from = to
		}
	}
	return nil
}

// blame accuses the sources that spoiled a blob without a chunk list, now
// that the store has a good one.
func (t *transfer) blame(ctx context.Context) error {
	if t.list != nil || len(t.bad) == 0 {
		return nil
	}
	blob, err := t.f.store.Open(ctx, t.b.Digest)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	defer blob.Close()
	return t.compare(0, blob)
}
