package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// What every client of Overland does alike.
const (
	dialTime    = 30 * time.Second
	tlsTime     = 30 * time.Second // a link of 4 KB/s may be shared by many
	idleTime    = 45 * time.Second // shorter than most routers remember a connection
	idlePerHost = 32               // a mirror that speaks HTTP/1 is asked for so many things at once
	idleAll     = 128
	frameSize   = 16 << 10 // of HTTP/2: a frame can be read only whole, and takes 4 s at 4 KB/s

	// An HTTP/2 connection is asked whether it is alive when no frame came for so long. Both together
	// let a frame pass at 300 B/s; a Watchdog, where there is one, notices earlier.
	pingAfter = time.Minute
	pingWait  = 30 * time.Second
)

// Ways are what is special about the connections of a Transport. The zero value is the usual.
type Ways struct {
	Dial   Dial                  // nil = TCP
	Change func(*http.Transport) // whatever else; it is called for each set of connections. nil = nothing
}

// Transport is an http.RoundTripper with connections of its own, so that nobody else's trouble is
// shared. It heeds the proxy variables of the process. When a request is ended by its Watchdog, its
// connection is closed if that was silent too, and no later request is sent over those that were
// open at that moment: a network that lost one connection has often lost all. Bodies tell a
// Watchdog when bytes came that cannot be read yet. It is safe for concurrent use.
type Transport struct {
	ways Ways

	mu  sync.Mutex
	now *http.Transport
}

// NewTransport returns a Transport. CloseIdleConnections frees it once nothing is under way.
func NewTransport(w Ways) *Transport {
	if w.Dial == nil {
		w.Dial = (&net.Dialer{Timeout: dialTime, KeepAlive: dialTime}).DialContext
	}
	t := &Transport{ways: w}
	t.now = t.open()
	return t
}

func (t *Transport) open() *http.Transport {
	tr := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           Timed(t.ways.Dial),
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   tlsTime,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          idleAll,
		MaxIdleConnsPerHost:   idlePerHost,
		IdleConnTimeout:       idleTime,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // the bytes that are hashed are those on the wire
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWait, MaxReadFrameSize: frameSize},
	}
	if t.ways.Change != nil {
		t.ways.Change(tr)
	}
	return tr
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	by := t.now
	t.mu.Unlock()
	use := &use{t: t, by: by, ctx: r.Context()}
	res, err := by.RoundTrip(r.WithContext(httptrace.WithClientTrace(use.ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { use.got(info.Conn) },
	})))
	if err != nil {
		use.end()
		return nil, err
	}
	res.Body = &usedBody{Body(res.Body, use.conn()), use}
	return res, nil
}

// CloseIdleConnections closes the connections that are kept for later. Those in use go on.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.CloseIdleConnections()
}

// leave makes later requests dial anew. Those under way over by go on.
func (t *Transport) leave(by *http.Transport) {
	t.mu.Lock()
	if t.now == by {
		t.now = t.open()
	}
	t.mu.Unlock()
	by.CloseIdleConnections()
}

// use is one request on its way.
type use struct {
	t   *Transport
	by  *http.Transport
	ctx context.Context // the request's

	mu   sync.Mutex
	over net.Conn // the last one: a request may be sent again; nil = none yet
}

// got lets the request's Watchdog know when bytes come, also while the answer's head waits behind
// what others get over the same connection.
func (u *use) got(c net.Conn) {
	u.mu.Lock()
	u.over = c
	u.mu.Unlock()
	if t := timed(c); t != nil {
		if w := WatchdogOf(u.ctx); w != nil {
			w.below(t.silent)
		}
	}
}

func (u *use) conn() net.Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.over
}

// end is called when the request has ended, in whatever way, and perhaps more than once.
func (u *use) end() {
	if !errors.Is(context.Cause(u.ctx), ErrStalled) {
		return
	}
	if t, w := timed(u.conn()), WatchdogOf(u.ctx); t != nil && w != nil && t.silent() >= w.stall {
		_ = t.Close() // whatever else is on it waits in vain
	}
	u.t.leave(u.by)
}

type usedBody struct {
	io.ReadCloser
	use *use
}

// Silence returns how long ago the last byte came on the connection: see Watchdog.Over.
func (b *usedBody) Silence() time.Duration {
	if s, ok := b.ReadCloser.(silent); ok {
		return s.Silence()
	}
	return math.MaxInt64
}

// Close implements io.Closer.
func (b *usedBody) Close() error {
	err := b.ReadCloser.Close()
	b.use.end()
	return err
}
