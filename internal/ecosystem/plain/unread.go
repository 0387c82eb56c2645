package plain

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/record"
)

// What a server of net/http answers when it cannot read a request; its handler hears nothing of it.
// Answers of handlers have a date.
const (
	unreadBegin = "HTTP/1.1 "
	unreadEnd   = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
)

// Beyond is the first byte of a connection whose client is a command in a cell: it may ask for what is beyond this
// machine, and for nothing of the machine itself. Neither HTTP nor TLS begins with it.
const Beyond = 0

// connKey is where the context of a request has the connection that it came on.
type connKey struct{}

// isBeyond reports whether the client of a request with this context is a command in a cell.
func isBeyond(ctx context.Context) bool {
	u, ok := ctx.Value(connKey{}).(*unread)
	return ok && u.beyond.Load()
}

// unread is a client's connection that tells a getter of requests that cannot be read: the client gets
// another answer than without us.
type unread struct {
	net.Conn
	getter record.Getter
	host   string // HOST:PORT of a tunnel; "" = the client names it

	begun  bool        // something was read
	beyond atomic.Bool // it began with Beyond, or came through a connection that did

	mu   sync.Mutex
	head []byte // what came since the last answer
}

// listening returns l, whose connections are unread.
type listening struct {
	net.Listener
	getter record.Getter
}

// Accept implements net.Listener.
func (l listening) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &unread{Conn: c, getter: l.getter}, nil
}

// Listener returns l for a server of p: requests on its connections that cannot be read are named in
// the end, as others that are refused.
func (p *Proxy) Listener(l net.Listener) net.Listener { return listening{l, p.getter} }

// NetConn returns the connection below u.
func (u *unread) NetConn() net.Conn { return u.Conn }

// Read implements net.Conn.
func (u *unread) Read(b []byte) (int, error) {
	n, err := u.Conn.Read(b)
	if n > 0 && !u.begun {
		if u.begun = true; b[0] == Beyond {
			u.beyond.Store(true)
			if n = copy(b, b[1:n]); n == 0 && err == nil {
				n, err = u.Conn.Read(b)
			}
		}
	}
	const most = 4 << 10
	u.mu.Lock()
	defer u.mu.Unlock()
	u.head = append(u.head, b[:min(n, max(0, most-len(u.head)))]...)
	return n, err
}

// Write implements net.Conn.
func (u *unread) Write(b []byte) (int, error) {
	u.mu.Lock()
	head := u.head
	u.head = nil
	u.mu.Unlock()
	if status, _, ok := bytes.Cut(b, []byte(unreadEnd)); ok && bytes.HasPrefix(status, []byte(unreadBegin)) && !bytes.Contains(status, []byte("\n")) {
		u.tell(head, strings.TrimPrefix(string(status), unreadBegin))
	}
	return u.Conn.Write(b)
}

// ReadFrom implements io.ReaderFrom: a file may go out without a copy.
func (u *unread) ReadFrom(r io.Reader) (int64, error) {
	u.mu.Lock()
	u.head = nil
	u.mu.Unlock()
	return io.Copy(u.Conn, r)
}

// tell names the request that begins with head.
func (u *unread) tell(head []byte, status string) {
	to, ok := u.getter.(record.Refuser)
	if !ok || len(head) == 0 { // it ended in its TLS handshake
		return
	}
	line, _, _ := strings.Cut(string(head), "\n")
	method, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	target, _, _ := strings.Cut(rest, " ")
	reason := status
	if _, err := url.ParseRequestURI(target); err != nil {
		inner := (*url.Error)(nil)
		if errors.As(err, &inner) {
			err = inner.Err // without the address
		}
		reason = err.Error()
	}
	if u.host != "" {
		target = "https://" + u.host + target
	}
	to.Refuse(&record.RefusedError{
		Protocol: Name, Request: record.Short(method, httpx.RedactedTarget(target)),
		Err: errs.Errorf(errs.Invalid, "it cannot be read as a request: %s", reason),
	})
}
