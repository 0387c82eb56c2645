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

var (
	// ErrStalled means that no byte came for as long as a Watchdog waits.
	ErrStalled = errors.New("went silent")
	// ErrDrips means that fewer bytes came than on any link that a Watchdog waits for.
	ErrDrips = errors.New("drips")
)

// The slowest link that is a legal one, in bytes a second, and what is left of it for each of 30 transfers.
const (
	LegalPace  = 4 << 10
	SharedPace = LegalPace / 30
)

// dripStalls is how often the silence that is allowed fits into the time in which trickle must
// come: 7 bytes a second where 30 s of silence are, so that a link of LegalPace may be shared by 600
// transfers, or by 150 in records of TLS, which cannot be read in part.
const dripStalls = 20

const hurryStalls = 2 // the same for Hurry

// Watchdog ends its context when nothing, or next to nothing, was seen for a while: a link of 4 KB/s
// is a legal link, so it is silence that ends a transfer, not a deadline. It is safe for concurrent use.
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
	least   int64                // bytes that must come in each within
	within  time.Duration
	reading time.Time     // when the read under way began; zero = there is none
	spent   time.Duration // in reads that ended, of this within: not the time that our own disk takes
	came    int64         // bytes, meanwhile
}

type watchdogKey struct{}

// NewWatchdog returns a Watchdog that allows so much silence. The caller stops it.
func NewWatchdog(ctx context.Context, stall time.Duration) *Watchdog {
	w := &Watchdog{stall: stall, least: trickle, within: dripStalls * stall}
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
// Unavailable that wraps ErrStalled or ErrDrips.
func (w *Watchdog) Context() context.Context { return w.ctx }

// expire runs when nothing could be read for a while, and ends the context unless
// bytes came below what can be read.
func (w *Watchdog) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.drips(); w.silence != nil && w.ctx.Err() == nil {
		if left := w.stall - w.silence(); left > 0 {
			w.timer.Reset(left)
			return
		}
	}
	w.cancel(errs.E(errs.Unavailable, fmt.Errorf("%w: no byte for %s", ErrStalled, w.stall)))
}

// Hurry ends the context also when less than pace, in bytes a second, comes for a while: the caller
// has somebody else to ask.
func (w *Watchdog) Hurry(pace int64) {
	within := hurryStalls * w.stall
	least := int64(float64(pace) * within.Seconds())
	w.mu.Lock()
	defer w.mu.Unlock()
	if least*int64(w.within) > w.least*int64(within) {
		w.least, w.within = least, within
	}
}

// begins says that a read begins.
func (w *Watchdog) begins() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading = time.Now()
}

// ended says that it brought n bytes.
func (w *Watchdog) ended(n int) {
	if n > 0 {
		w.Seen()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent += time.Since(w.reading)
	w.reading = time.Time{}
	w.came += int64(n)
	w.drips()
}

// drips ends the context when too little came. w.mu is held.
func (w *Watchdog) drips() {
	in := w.spent
	if !w.reading.IsZero() {
		in += time.Since(w.reading)
	}
	switch {
	case w.came >= w.least:
		w.spent, w.came = 0, 0
		if !w.reading.IsZero() {
			w.reading = time.Now()
		}
	case in >= w.within:
		w.cancel(errs.E(errs.Unavailable, fmt.Errorf("%w: %d bytes in %s", ErrDrips, w.came, in.Round(time.Second))))
	}
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
	r.w.begins()
	n, err := r.r.Read(p)
	r.w.ended(n)
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
