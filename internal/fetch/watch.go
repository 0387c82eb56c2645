package fetch

import (
	"context"
	"io"
	"sync"
	"time"
)

// watch ends its context when nothing was seen for a while.
type watch struct {
	ctx    context.Context // what it watches over
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
	heard  func() // of an interim answer that said that more has come to the source; nil = nobody is told

	mu      sync.Mutex
	silence func() time.Duration // since the last byte came in below what can be read; nil = not known
}

// receiver is a body that knows when a byte came in below it: on a very slow or shared link the next TLS record, 16 KiB
// that can be read only together, may take longer than the watch.
type receiver interface{ Silence() time.Duration }

// watchKey is where a watch's context holds the watch.
type watchKey struct{}

func newWatch(ctx context.Context, stall time.Duration) *watch {
	w := &watch{stall: stall}
	w.ctx, w.cancel = context.WithCancelCause(context.WithValue(ctx, watchKey{}, w))
	w.timer = time.AfterFunc(stall, w.expire)
	return w
}

// expire runs when nothing could be read for a while: unless bytes came all the same, that is the end.
func (w *watch) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silence != nil && w.ctx.Err() == nil {
		if left := w.stall - w.silence(); left > 0 {
			w.timer.Reset(left)
			return
		}
	}
	w.cancel(stallError(w.stall))
}

// seen starts the wait again.
func (w *watch) seen() { w.timer.Reset(w.stall) }

// waited is seen, for a source that is itself waiting for more.
func (w *watch) waited() {
	w.seen()
	if w.heard != nil {
		w.heard()
	}
}

// over returns body as a reader that w watches over.
func (w *watch) over(body io.Reader) io.Reader {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r, ok := body.(receiver); ok {
		w.silence = r.Silence
	}
	w.seen()
	return &watched{r: body, w: w}
}

// stop frees the watch.
func (w *watch) stop() {
	w.cancel(context.Canceled)
	w.timer.Stop()
}

// explain returns the watch's own end in place of an err that it caused.
func (w *watch) explain(err error) error {
	if err != nil && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}

// watched is a source's bytes; its errors are the watch's when that ended them.
type watched struct {
	r io.Reader
	w *watch
}

func (r *watched) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if n > 0 {
		r.w.seen()
	}
	if err == io.EOF {
		return n, err
	}
	return n, r.w.explain(err)
}
