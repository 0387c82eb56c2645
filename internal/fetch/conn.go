package fetch

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"
)

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// timedConn knows when the last byte came in, below TLS.
type timedConn struct {
	net.Conn
	began time.Time
	last  atomic.Int64 // time.Duration since began: a node's clock may be set while bytes come
}

func timed(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &timedConn{Conn: c, began: time.Now()}, nil
	}
}

func (c *timedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.last.Store(int64(time.Since(c.began)))
	}
	return n, err
}

// body is an answer's body that knows its connection.
type body struct {
	io.ReadCloser
	conn *timedConn
}

// Silence returns how long ago the last byte came on the connection.
func (b *body) Silence() time.Duration {
	return time.Since(b.conn.began) - time.Duration(b.conn.last.Load())
}
