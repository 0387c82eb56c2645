package fsx

import (
	"cmp"
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"overland/internal/errs"
)

// patienceTime is how long one look at a file that was found may take. A disk brings a byte in
// time; a network folder whose server is gone holds a reader for ever, and nothing ends that.
const patienceTime = time.Minute

// Patience reads files that may never answer: each read is done by a goroutine, which is left
// behind when it does not return. What is asked for later fails at once, then. The zero value works;
// it is safe for concurrent use.
type Patience struct {
	out atomic.Int32 // goroutines that have not returned

	mu   sync.Mutex
	buf  []byte // of the last read
	gone bool   // something did not return

	Limit time.Duration // for one read; 0 = 1 min
}

// ReaderAt is a file that is read with patience.
type ReaderAt interface {
	ReadAt(p []byte, off int64) (int, error)
	Name() string
}

// ReadAt reads from f at off as io.ReaderAt. Errors: those of f; kind Unavailable when it says
// nothing, with a hint; that of ctx.
func (w *Patience) ReadAt(ctx context.Context, f ReaderAt, p []byte, off int64) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cap(w.buf) < len(p) {
		w.buf = make([]byte, len(p))
	}
	// The goroutine has a buffer of its own: when it returns late, p is somebody else's.
	buf := w.buf[:len(p)]
	type result struct {
		n   int
		err error
	}
	r, err := await(ctx, w, f.Name(), func() result {
		n, err := f.ReadAt(buf, off)
		return result{n, err}
	}, nil)
	if err != nil {
		w.buf = nil
		return 0, err
	}
	return copy(p, buf[:r.n]), r.err
}

// Await returns what look does, which is about the file called name; late is called with what it
// returns after nobody waits for it any more. Errors: as ReadAt's.
func Await[T any](ctx context.Context, w *Patience, name string, look func() T, late func(T)) (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return await(ctx, w, name, look, late)
}

// Close closes c, called name, which was read with w: that of a network folder may wait for its
// server. Where something did not return before, or ctx has ended, nobody waits. The error is that of
// c, or nil.
func (w *Patience) Close(ctx context.Context, name string, c io.Closer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		w.out.Add(1)
		go func() {
			_ = c.Close()
			w.out.Add(-1)
		}()
		return nil
	}
	err, silent := await(ctx, w, name, c.Close, nil)
	if silent != nil {
		return nil // it was read: what came of that counts
	}
	return err
}

// Busy reports whether a goroutine was left behind that has not returned: each holds a thread of the
// system's, so whoever looks again and again waits for it.
func (w *Patience) Busy() bool { return w.out.Load() > 0 }

// await is Await for a caller who has w.mu.
func await[T any](ctx context.Context, w *Patience, name string, look func() T, late func(T)) (found T, _ error) {
	limit := cmp.Or(w.Limit, patienceTime)
	silent := errs.Hint(errs.Errorf(errs.Unavailable, "read %s: no byte for %s", name, limit),
		"is it on a network folder whose server is gone? Copy it to a disk of this machine")
	if w.gone {
		return found, silent
	}
	done, left := make(chan T), make(chan struct{})
	w.out.Add(1)
	go func() {
		r := look()
		w.out.Add(-1)
		select {
		case done <- r:
		case <-left:
			if late != nil {
				late(r)
			}
		}
	}()
	end := time.NewTimer(limit)
	defer end.Stop()
	select {
	case r := <-done:
		return r, nil
	case <-ctx.Done():
		close(left)
		return found, ctx.Err()
	case <-end.C:
		w.gone = true
		close(left)
		return found, silent
	}
}
