package fsx

import (
	"cmp"
	"context"
	"sync"
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

// await is Await for a caller who has w.mu.
func await[T any](ctx context.Context, w *Patience, name string, look func() T, late func(T)) (found T, _ error) {
	limit := cmp.Or(w.Limit, patienceTime)
	silent := errs.Hint(errs.Errorf(errs.Unavailable, "read %s: no byte for %s", name, limit),
		"is it on a network folder whose server is gone? Copy it to a disk of this machine")
	if w.gone {
		return found, silent
	}
	done, left := make(chan T), make(chan struct{})
	go func() {
		r := look()
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
