package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/progress"
	"overland/internal/store"
)

const (
	readSize = 128 << 10
	busyWait = 50 * time.Millisecond // first pause while another process writes the same blob; doubles
	busyCap  = time.Second

	mostLiars = 4096 // remembered pairs of source and blob
)

// transfer is one blob on its way. It is for one goroutine.
//
// It works in units: a chunk, or the whole blob when there is no chunk list. A unit is verified
// when it is whole. When a unit that several sources sent parts of is bad, nobody can be named yet:
// it is asked for again, solo, from one source at a time, and compared with the bad one afterwards.
type transfer struct {
	f       *Fetcher
	b       Blob
	sources []Source  // in order of preference
	ids     []string  // what each is remembered by
	list    chunkList // nil: none
	in      store.Upload
	off     int64         // bytes on disk
	best    int64         // the largest off so far: a byte beyond it is a new one
	sum     digest.Hasher // of the unit's bytes; only with a list
	parts   []part        // who sent the unit's bytes, in order
	solo    bool          // this unit comes from one source
	last    int           // the source read last
	bad     []suspect     // bad units that several sources sent parts of
	src     []standing
	meter   meter
	buf     []byte
}

// part is bytes of the unit that one source sent, up to end. Source disk
// means that they were there before.
type part struct {
	source int
	end    int64
}

const disk = -1

// standing is where a source stands in this call.
type standing struct {
	err     error // the last one
	idle    int   // attempts since the last new byte
	pace    int64 // bytes a second, when it was left because it was slow
	noRange bool  // only from the beginning
	over    outcome
	out     bool // not asked again, because of over
}

func (f *Fetcher) fetch(ctx context.Context, b Blob) error {
	sources, free := f.current()
	var list chunkList
	var err error
	if !free {
		list, err = f.chunks(ctx, b)
	}
	if err != nil {
		return err
	}
	in, err := f.begin(ctx, b)
	if err != nil || in == nil {
		return err
	}
	defer in.Close()
	t := &transfer{
		f: f, b: b, list: list, in: in, sum: digest.New(), last: disk,
		sources: sources, ids: make([]string, len(sources)), src: make([]standing, len(sources)), buf: make([]byte, readSize),
	}
	t.meter.tell, t.meter.last = f.o.Progress, time.Now()
	t.meter.e = Event{Digest: b.Digest, Event: progress.Event{Step: "fetch", Total: b.Size}}
	for i, s := range sources {
		t.ids[i] = id(s)
		f.mu.Lock()
		if err, known := f.liars[liar{t.ids[i], b.Digest}]; known {
			t.src[i] = standing{err: err, over: lied, out: true}
		}
		f.mu.Unlock()
	}
	if err := t.resume(ctx); err != nil {
		return explainDisk(b.Digest, err)
	}
	err = t.run(ctx)
	t.meter.end(t.off)
	if err != nil && t.off == 0 {
		// Nothing to go on with: a site is asked for blobs that nobody has,
		// and must not keep a file of each.
		return errors.Join(err, in.Discard())
	}
	return err
}

// begin returns the blob's only writer, waiting while another process has it; nil
// when that one brought the blob.
func (f *Fetcher) begin(ctx context.Context, b Blob) (store.Upload, error) {
	for pause := busyWait; ; pause = min(2*pause, busyCap) {
		in, err := store.Resume(ctx, f.store, b.Digest, b.Size)
		switch {
		case err == nil:
			return in, nil
		case errors.Is(err, store.ErrExists):
			return nil, nil
		case !errors.Is(err, store.ErrBusy):
			return nil, explainDisk(b.Digest, err)
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, fmt.Errorf("fetch %s: wait for another process: %w", b.Digest, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// run goes from source to source until the blob is committed.
func (t *transfer) run(ctx context.Context) error {
	whole := t.b.Size >= 0 && t.off == t.b.Size
	for {
		if whole {
			err := t.in.Commit(ctx, t.b.Digest)
			if err == nil {
				return t.blame(ctx)
			}
			if !errors.Is(err, digest.ErrMismatch) {
				return explainDisk(t.b.Digest, err)
			}
			if err := t.mismatch(err); err != nil {
				return err
			}
		}
		i, err := t.pick(ctx)
		if err != nil {
			return err
		}
		began, before, moved := time.Now(), t.best, t.meter.e.Moved
		whole, err = t.read(ctx, i)
		if t.best > before && !errors.Is(err, httpx.ErrDrips) {
			for j := range t.src {
				t.src[j].idle = 0
			}
		}
		if err != nil {
			if err := t.note(ctx, i, err, began, t.best-before); err != nil {
				return err
			}
		} else if whole {
			t.f.health.Well(t.ids[i])
		}
		t.f.o.Log.Debug("attempt", "blob", t.b.Digest, "source", t.name(i), "bytes", t.meter.e.Moved-moved, "error", err)
	}
}

// note draws the consequences of an attempt's error; the error that it returns ends the call.
func (t *transfer) note(ctx context.Context, i int, err error, began time.Time, got int64) error {
	s := &t.src[i]
	o := classify(ctx, err)
	if o == ours {
		if ctx.Err() != nil {
			return fmt.Errorf("fetch %s: %w", t.b.Digest, context.Cause(ctx))
		}
		return explainDisk(t.b.Digest, err)
	}
	s.err = err
	switch o {
	case missing:
		s.out, s.over = true, missing
		t.f.health.Well(t.ids[i]) // it answered
	case lied:
		t.accuse(i, err)
	case useless:
		s.out, s.over = true, useless
	case noRange:
		s.noRange = true
	default:
		drips := errors.Is(err, httpx.ErrDrips)
		if drips {
			s.pace = int64(float64(got) / time.Since(began).Seconds())
		}
		s.idle++
		if s.idle >= t.f.o.Attempts || t.b.Else && drips && s.pace < httpx.SharedPace {
			s.out, s.over = true, transient
		}
		t.failed(i, time.Since(began), got, err)
	}
	return nil
}

func (t *transfer) name(i int) string { return t.sources[i].Name() }

// read takes bytes from source i until the blob is whole, or the source's error.
func (t *transfer) read(ctx context.Context, i int) (whole bool, err error) {
	if t.solo && t.last != i && t.off > t.start() {
		if err := t.truncate(t.start()); err != nil {
			return false, &diskError{err}
		}
	}
	t.last = i
	w := httpx.NewWatchdog(ctx, t.f.o.Stall)
	defer w.Stop()
	w.Interim = t.meter.waits
	w.Hurry(t.better(i))
	from := t.off
	if t.src[i].noRange {
		from = 0
	}
	rc, size, err := t.sources[i].Open(w.Context(), t.b.Digest, from)
	if err != nil {
		return false, w.Explain(err)
	}
	defer rc.Close()
	if size >= 0 && t.b.Size >= 0 && size != t.b.Size {
		err := fmt.Errorf("%w: says that the blob has %d bytes, not %d", httpx.ErrAnswer, size, t.b.Size)
		if size > t.b.Size && isLocal(t.sources[i]) {
			return false, errs.E(errs.Untrusted, err) // a file may still grow; it does not shrink by waiting
		}
		return false, err
	}
	if size >= 0 && size < t.off {
		// Only for a blob of unknown size: what is on the disk is not a prefix of it.
		if err := t.truncate(0); err != nil {
			return false, &diskError{err}
		}
		return false, fmt.Errorf("%w: the blob has only %d bytes", httpx.ErrAnswer, size)
	}
	if t.b.Size < 0 && size >= 0 {
		if size > t.f.o.Unknown {
			return false, errs.Errorf(errs.Invalid, "%w: %d bytes, more than %d", httpx.ErrAnswer, size, t.f.o.Unknown)
		}
		// Not our disk's error: a source may say any size, and the next one another.
		if err := t.in.Reserve(size - t.off); err != nil {
			return false, fmt.Errorf("%w: %d bytes: %w", httpx.ErrAnswer, size, err)
		}
	}
	r := w.Over(rc)
	if from < t.off {
		if err := t.skip(i, r); err != nil {
			return false, err
		}
	}
	return t.copy(i, r, size)
}

// copy appends what r sends, from off on. said is the blob's size as the source says, or -1.
func (t *transfer) copy(i int, r io.Reader, said int64) (whole bool, err error) {
	limit := t.b.Size
	if limit < 0 {
		limit = t.f.o.Unknown + 1
	}
	for t.off < limit {
		n, rerr := r.Read(t.buf[:min(int64(len(t.buf)), t.end()-t.off, limit-t.off)])
		if n > 0 {
			if err := t.write(i, t.buf[:n]); err != nil {
				return false, err
			}
		}
		switch {
		case rerr == io.EOF && t.off == t.b.Size:
		case rerr == io.EOF && t.b.Size < 0 && (said < 0 || t.off >= said):
			return true, nil
		case rerr == io.EOF:
			return false, fmt.Errorf("%w: after %d bytes", ErrShort, t.off)
		case rerr != nil && t.off < limit:
			return false, rerr
		}
	}
	if t.b.Size < 0 {
		// Endless, or larger than whoever asked can want.
		if err := t.truncate(0); err != nil {
			return false, &diskError{err}
		}
		return false, errs.Errorf(errs.Invalid, "%w: more than %d bytes", httpx.ErrAnswer, t.f.o.Unknown)
	}
	return true, nil
}

// write appends p, which lies within one unit, and verifies the unit when it is whole.
func (t *transfer) write(i int, p []byte) error {
	n, err := t.in.Write(p)
	t.off += int64(n)
	if err != nil {
		return &diskError{err}
	}
	if k := len(t.parts); k > 0 && t.parts[k-1].source == i {
		t.parts[k-1].end = t.off
	} else {
		t.parts = append(t.parts, part{i, t.off})
	}
	if t.list != nil {
		t.sum.Write(p)
		if t.off%store.ChunkSize == 0 || t.off == t.b.Size {
			if err := t.chunk(i); err != nil {
				return err
			}
		}
	}
	t.best = max(t.best, t.off)
	t.meter.moved(t.name(i), len(p), t.off)
	return nil
}

// start returns where the unit that holds off begins, and end where it
// ends if the blob is long enough.
func (t *transfer) start() int64 {
	if t.list == nil {
		return 0
	}
	return t.off / store.ChunkSize * store.ChunkSize
}

func (t *transfer) end() int64 {
	if t.list == nil {
		return 1<<63 - 1
	}
	return t.start() + store.ChunkSize
}

// truncate drops the bytes from at on, which is where the unit starts or lies inside it.
func (t *transfer) truncate(at int64) error {
	if err := t.in.Truncate(at); err != nil {
		return err
	}
	t.off = at
	kept, from := t.parts[:0], t.start()
	for _, p := range t.parts {
		if from < at {
			kept = append(kept, part{p.source, min(p.end, at)})
		}
		from = p.end
	}
	t.parts = kept
	return t.rehash()
}
