package site

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
)

// limited is a listener that has at most so many connections open: a flood waits in the
// kernel instead of eating this machine's memory. When it is full, an idle keep-alive
// connection is closed to make room.
type limited struct {
	net.Listener
	tune  func(net.Conn) // of each connection; nil = left as it is
	slots chan struct{}
	done  chan struct{}
	once  sync.Once

	mu      sync.Mutex
	idle    map[*counted]bool // between two requests
	crowded bool              // Accept waits for a slot
}

func limit(l net.Listener, n int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, n), done: make(chan struct{}), idle: map[*counted]bool{}}
}

// Accept waits for a free slot and for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	default:
		if err := l.wait(); err != nil {
			return nil, err
		}
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	if l.tune != nil {
		l.tune(c)
	}
	return &counted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// wait closes one idle connection, if there is one, and waits for a free slot.
func (l *limited) wait() error {
	l.mu.Lock()
	l.crowded = true
	for c := range l.idle {
		delete(l.idle, c)
		c.Close()
		break
	}
	l.mu.Unlock()
	defer func() { l.mu.Lock(); l.crowded = false; l.mu.Unlock() }()
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-l.done:
		return net.ErrClosed
	}
}

// state is the http.Server's ConnState.
func (l *limited) state(conn net.Conn, state http.ConnState) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	c, ok := conn.(*counted)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case state != http.StateIdle:
		delete(l.idle, c)
	case l.crowded:
		c.Close() // its client opens another one when it has more to ask
	default:
		l.idle[c] = true
	}
}

// Close ends Accept.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type counted struct {
	net.Conn
	free func()
}

// ReadFrom sends a file without copying it through this program, where the connection can.
func (c *counted) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

func (c *counted) Close() error {
	c.free()
	return c.Conn.Close()
}
