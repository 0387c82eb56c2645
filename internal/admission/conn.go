package admission

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

const bulkUnsent = 4 << 20 // bytes; as much as Linux lets a buffer grow to

// Conn is a connection that has a place.
type Conn struct {
	net.Conn
	l       *Listener
	seat    *Seat
	shut    sync.Once
	evicted atomic.Bool
	slow    took // the listener's: what its client took lately
}

// Enter implements Guest.
func (c *Conn) Enter() { c.l.enter(c) }

// Leave implements Guest. What the client has not taken is dropped: a reader that takes
// nothing would go on holding it.
func (c *Conn) Leave() {
	c.evicted.Store(true)
	if tcp, ok := c.Conn.(*net.TCPConn); ok && outstanding(tcp) > 0 {
		_ = tcp.SetLinger(0)
	}
	_ = c.close()
	c.l.forget(c)
}

// Moved implements Guest: what has passed below TLS, in both directions.
func (c *Conn) Moved() int64 {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return passed(tcp)
	}
	return 0
}

// Bulk lifts the limit for unsent bytes that Options.Tune may have set, until end is called: who waits for the end of a long
// answer waits for nothing behind it, and a kernel that takes a little at a time costs a third of the processor time more.
// What watches over a client here counts what that has acknowledged; a handler with deadlines of its own for each
// piece needs the limit. c may be nil.
func (c *Conn) Bulk() (end func()) {
	if c == nil {
		return func() {}
	}
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return func() {}
	}
	before := limitUnsent(tcp, bulkUnsent)
	return func() { limitUnsent(tcp, before) }
}

// ReadFrom sends a file without copying it through this program, where the connection can.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// Close closes the connection and gives its place back.
func (c *Conn) Close() error {
	err := c.close()
	c.seat.End()
	return err
}

func (c *Conn) close() error {
	err := c.Conn.Close()
	c.shut.Do(func() { c.l.o.Files.add(-1) })
	return err
}

type connKey struct{}

// ConnContext is an http.Server's: requests know the connection that they came on.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if conn := below(c); conn != nil {
		return context.WithValue(ctx, connKey{}, conn)
	}
	return ctx
}

// ConnOf returns the connection of a request with context ctx; nil when it has none that
// a Listener made.
func ConnOf(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// ConnState is an http.Server's: it says which connections are idle.
func ConnState(c net.Conn, state http.ConnState) {
	conn := below(c)
	if conn == nil {
		return
	}
	switch state {
	case http.StateActive, http.StateHijacked: // a tunnel is open until it is closed
		conn.seat.Set(Active)
	case http.StateIdle:
		conn.seat.Set(Idle)
	case http.StateClosed:
		conn.seat.End()
	case http.StateNew: // as it is
	}
}

// below returns the Conn that c is, or that it is TLS or something else over.
func below(c net.Conn) *Conn {
	for {
		over, ok := c.(interface{ NetConn() net.Conn }) // as a tls.Conn
		if !ok {
			conn, _ := c.(*Conn)
			return conn
		}
		c = over.NetConn()
	}
}
