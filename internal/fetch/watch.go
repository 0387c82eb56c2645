package fetch

import (
	"context"
	"time"
)

// watch ends its context when nothing was seen for a while.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
}

func newWatch(ctx context.Context, stall time.Duration) *watch {
	w := &watch{stall: stall}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(stall, func() { w.cancel(stallError(stall)) })
	return w
}

// seen starts the wait again.
func (w *watch) seen() { w.timer.Reset(w.stall) }

// stop frees the watch.
func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(context.Canceled)
}

// explain returns the watch's own end in place of an err that it caused.
func (w *watch) explain(err error) error {
	if err != nil && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}
