package site

import (
	"io"
	"net"
	"sync"
)

// limited is a listener that has at most so many connections open: a flood waits in the kernel instead of eating this
// machine's memory.
type limited struct {
	net.Listener
	tune  func(net.Conn) // of each connection; nil = left as it is
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func limit(l net.Listener, n int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, n), done: make(chan struct{})}
}

// Accept waits for a connection and for room.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
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
