package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"overland/internal/errs"
)

// ErrStalled means that no byte came for as long as a Watchdog waits.
var ErrStalled = errors.New("went silent")

// Watchdog ends its context when nothing was seen for a while: a link of 4 KB/s is a legal link, so
// it is silence that ends a transfer, not a deadline. It is safe for concurrent use.
type Watchdog struct {
	// Interim is called when an interim answer says that more has come to the other side; nil =
	// nobody is told. It is set before the request.
	Interim func()

	ctx    context.Context // what it watches over
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration

	mu      sync.Mutex
	silence func() time.Duration // since the last byte came in below what can be read; nil = not known
}

type watchdogKey struct{}

// NewWatchdog returns a Watchdog that allows so much silence. The caller stops it.
func NewWatchdog(ctx context.Context, stall time.Duration) *Watchdog {
	w := &Watchdog{stall: stall}
	w.ctx, w.cancel = context.WithCancelCause(context.WithValue(ctx, watchdogKey{}, w))
	w.timer = time.AfterFunc(stall, w.expire)
	return w
}

// WatchdogOf returns the Watchdog whose context ctx is or comes from; nil when there is none.
func WatchdogOf(ctx context.Context) *Watchdog {
	w, _ := ctx.Value(watchdogKey{}).(*Watchdog)
	return w
}

// Context returns the context that it ends: with an error of kind
// Unavailable that wraps ErrStalled.
func (w *Watchdog) Context() context.Context { return w.ctx }

// expire runs when nothing could be read for a while, and ends the context unless
// bytes came below what can be read.
func (w *Watchdog) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silence != nil && w.ctx.Err() == nil {
		if left := w.stall - w.silence(); left > 0 {
			w.timer.Reset(left)
			return
		}
	}
	w.cancel(errs.E(errs.Unavailable, fmt.Errorf("%w: no byte for %s", ErrStalled, w.stall)))
}

// Seen starts the wait again.
func (w *Watchdog) Seen() { w.timer.Reset(w.stall) }

// Rest ends the wait until the next Seen: the other side has everything, and may take its time.
func (w *Watchdog) Rest() { w.timer.Stop() }

// waited is Seen, for an answer that says that the other side itself waits for more.
func (w *Watchdog) waited() {
	w.Seen()
	if w.Interim != nil {
		w.Interim()
	}
}

// Stop frees the Watchdog and ends its context.
func (w *Watchdog) Stop() {
	w.cancel(context.Canceled)
	w.timer.Stop()
}

// Explain returns err, or, when the end of the Watchdog's context caused it, why that ended.
func (w *Watchdog) Explain(err error) error {
	if err != nil && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}

// Over returns r as a reader that w watches over. Errors of its Read
// are what Explain makes of them.
func (w *Watchdog) Over(r io.Reader) io.Reader {
	if s, ok := r.(silent); ok {
		w.below(s.Silence)
	}
	w.Seen()
	return &watched{r: r, w: w}
}

// below tells w who knows when the last byte came in below what can be read.
func (w *Watchdog) below(silence func() time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silence = silence
}

type watched struct {
	r io.Reader
	w *Watchdog
}

func (r *watched) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if n > 0 {
		r.w.Seen()
	}
	if err == io.EOF {
		return n, err
	}
	return n, r.w.Explain(err)
}

// silent is a body that knows when a byte came in below it: on a very slow or shared link the next
// TLS record, 16 KiB that can be read only together, may take longer than the watchdog waits.
type silent interface{ Silence() time.Duration }

// Dial makes connections, as net.Dialer.DialContext does.
type Dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// Timed returns dial with connections that know when their last byte came: see Body.
func Timed(dial Dial) Dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &timedConn{Conn: c, began: time.Now()}, nil
	}
}

// timedConn knows when the last byte came in, below TLS.
type timedConn struct {
	net.Conn
	began time.Time
	last  atomic.Int64 // time.Duration since began: a node's clock may be set while bytes come
}

func (c *timedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.last.Store(int64(time.Since(c.began)))
	}
	return n, err
}

// Body returns the body of an answer that came over conn, so that a Watchdog over it sees bytes
// that cannot be read yet. For a conn that Timed did not make it returns body as it is.
func Body(body io.ReadCloser, conn net.Conn) io.ReadCloser {
	if c := timed(conn); c != nil {
		return &timedBody{body, c}
	}
	return body
}

// timed returns the timedConn that conn is, or is TLS over; nil when there is none.
func timed(conn net.Conn) *timedConn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok { // below TLS
		conn = t.NetConn()
	}
	c, _ := conn.(*timedConn)
	return c
}

// silent returns how long ago the last byte came.
func (c *timedConn) silent() time.Duration {
	return time.Since(c.began) - time.Duration(c.last.Load())
}

type timedBody struct {
	io.ReadCloser
	conn *timedConn
}

// Silence returns how long ago the last byte came on the connection.
func (b *timedBody) Silence() time.Duration { return b.conn.silent() }
