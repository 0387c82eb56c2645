package volume

import (
	"cmp"
	"os"
	"sync"
	"time"

	"overland/internal/errs"
)

// patienceTime is how long one read of a file that was found may take. A disk brings a byte in
// time; a network folder whose server is gone holds a reader for ever, and nothing ends that.
const patienceTime = time.Minute

// patience reads files that may never answer: each read is done by a goroutine, which is left
// behind when it does not return. The zero value works.
type patience struct {
	mu   sync.Mutex
	buf  []byte // of the last read
	gone bool   // a read did not return

	limit time.Duration // 0 = patienceTime
}

// readAt reads from f at off as io.ReaderAt, for a file that was found with patience.
func (s *pieces) readAt(f *os.File, p []byte, off int64) (int, error) {
	if !s.found {
		return f.ReadAt(p, off)
	}
	return s.patience.readAt(f, p, off)
}

type readerAt interface {
	ReadAt(p []byte, off int64) (int, error)
	Name() string
}

func (w *patience) readAt(f readerAt, p []byte, off int64) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := cmp.Or(w.limit, patienceTime)
	if w.gone {
		return 0, silent(f, limit)
	}
	if cap(w.buf) < len(p) {
		w.buf = make([]byte, len(p))
	}
	// The goroutine has a buffer of its own: when it returns late, p is somebody else's.
	buf := w.buf[:len(p)]
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := f.ReadAt(buf, off)
		done <- result{n, err}
	}()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case r := <-done:
		return copy(p, buf[:r.n]), r.err
	case <-late.C:
		w.gone, w.buf = true, nil
		return 0, silent(f, limit)
	}
}

func silent(f readerAt, limit time.Duration) error {
	return errs.Hint(errs.Errorf(errs.Unavailable, "read %s: no byte for %s", f.Name(), limit),
		"is it on a network folder whose server is gone? Copy it to a disk of this machine")
}
