package session

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"sync"
	"time"

	"overland/internal/procfs"
)

// Guarded reports whether a recorder can tell on this system which process connects to it.
const Guarded = true

const (
	known    = 32                    // how many processes that have connected before are tried first
	looks    = 3                     // a socket may be on its way from a parent to its child
	lookWait = 10 * time.Millisecond // between two looks
	patience = time.Second           // for the request of a stranger, which is not read
)

// guard admits connections of the processes that the command started, and no others. Loopback is
// not a border: every user of the machine reaches it, and a recorder answers with whatever the
// operator's logins can read, and locks whatever it is asked for.
type guard struct {
	net.Listener

	above int // the process above the command

	mu       sync.Mutex
	seen     []procfs.Process // descendants that have connected, the latest first
	refused  int
	stranger string // the first peer that was refused
}

// newGuard returns l for processes below the process above.
func newGuard(l net.Listener, above int) *guard { return &guard{Listener: l, above: above} }

// strangers tells a person about the peers that were refused; "" = there were none.
func (g *guard) strangers() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused == 0 {
		return ""
	}
	return fmt.Sprintf("%d refused of processes that the command did not start (the first: %s)", g.refused, g.stranger)
}

// Accept implements net.Listener. The peer is checked at the first Read, so that no connection
// waits for the check of another.
func (g *guard) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guarded{Conn: c, g: g}, nil
}

// guarded is a connection from which nothing is read before its peer was admitted.
type guarded struct {
	net.Conn
	g    *guard
	once sync.Once
	err  error
}

func (c *guarded) Read(p []byte) (int, error) {
	c.once.Do(func() {
		if c.g.admits(c.Conn) {
			return
		}
		c.err = io.EOF
		// Its request is received and dropped: a close with unread bytes would take the answer away.
		const most = 64 << 10
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, _ = c.Conn.Read(make([]byte, most))
		const body = "overland: this recorder serves only processes that its own command started\n"
		_ = c.SetWriteDeadline(time.Now().Add(patience))
		fmt.Fprintf(c.Conn, "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			len(body), body)
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// admits reports whether the other end of c belongs to a process below the command.
func (g *guard) admits(c net.Conn) bool {
	var peer procfs.Socket
	var err error
	for range looks {
		if peer, err = procfs.PeerOf(c); err != nil {
			break
		}
		if g.ours(peer) {
			return true
		}
		time.Sleep(lookWait)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused++
	switch {
	case g.refused > 1:
	case errors.Is(err, fs.ErrNotExist):
		g.stranger = "it had gone already"
	case err != nil:
		g.stranger = err.Error()
	default:
		g.stranger = fmt.Sprintf("user %d", peer.UID)
	}
	return false
}

// ours reports whether a process below the command has the socket s.
func (g *guard) ours(s procfs.Socket) bool {
	g.mu.Lock()
	seen := slices.Clone(g.seen)
	g.mu.Unlock()
	for _, p := range seen {
		if now, err := procfs.Read(p.PID); err != nil || now.Start != p.Start {
			continue
		}
		if has, _ := p.Holds(s); has {
			g.note(p)
			return true
		}
	}
	// The descriptors of some processes are hidden from us, such as those of apt's, which run as
	// another user: there the socket's user must be the process's.
	var hidden []procfs.Process
	for _, p := range procfs.Below(g.above) {
		has, err := p.Holds(s)
		switch {
		case has:
			g.note(p)
			return true
		case errors.Is(err, fs.ErrPermission):
			hidden = append(hidden, p)
		}
	}
	return slices.ContainsFunc(hidden, func(p procfs.Process) bool { return p.Is(s.UID) })
}

// note puts p first among those that have connected.
func (g *guard) note(p procfs.Process) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = slices.DeleteFunc(g.seen, func(old procfs.Process) bool { return old.PID == p.PID })
	g.seen = slices.Insert(g.seen, 0, p)
	g.seen = g.seen[:min(len(g.seen), known)]
}
