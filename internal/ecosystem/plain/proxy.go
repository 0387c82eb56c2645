package plain

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"overland/internal/admission"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/record"
)

const (
	handshake = time.Minute // that a client may take over its TLS handshake and the head of a request
	header    = 64 << 10    // bytes of the head of a request
	bodies    = 32          // requests with a body at once: it is held in memory
)

// Server returns a server for a Proxy. What clients hold in memory before they are answered is bounded, but idle connections
// are not ended by a clock.
func Server(h http.Handler) *http.Server {
	s := admission.Server(h, header)
	s.ReadHeaderTimeout, s.IdleTimeout = handshake, 0
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(admission.ConnContext(ctx, c), connKey{}, c)
	}
	return s
}

// Proxy serves plain URLs from k to clients that use it as their HTTP proxy. Requests to the proxy
// itself go to Next.
type Proxy struct {
	getter record.Getter
	urls   Protocol
	ca     *Authority
	next   http.Handler
	own    []own // set before it serves

	inner *http.Server // speaks to clients inside of their CONNECT tunnels
	conns *queue
	done  chan struct{}
	turns chan struct{} // of requests with a body
}

// NewProxy returns a proxy whose https certificates are ca's. The caller closes it.
func NewProxy(k record.Getter, urls Protocol, ca *Authority, next http.Handler) *Proxy {
	p := &Proxy{getter: k, urls: urls, ca: ca, next: next, conns: newQueue(), done: make(chan struct{}), turns: make(chan struct{}, bodies)}
	p.inner = Server(http.HandlerFunc(p.tunneled))
	p.inner.ErrorLog = log.New(io.Discard, "", 0) // a client that does not believe the authority says so itself
	p.inner.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if u, ok := c.(*unread); ok {
			return context.WithValue(context.WithValue(ctx, connKey{}, u), hostKey{}, u.host)
		}
		return ctx
	}
	go func() {
		defer close(p.done)
		_ = p.inner.Serve(p.conns) // ends with Close
	}()
	return p
}

// own is a protocol that answers for what is below an address.
type own struct {
	base     string // without a slash at the end
	protocol record.Protocol
}

// Own lets protocol answer, from now on, for what it serves below base, an http or
// https URL: a client that knows of no other address need not be configured. It is
// called before the proxy serves.
func (p *Proxy) Own(base string, protocol record.Protocol) {
	p.own = append(p.own, own{strings.TrimRight(base, "/"), protocol})
}

// owned returns the protocol that answers r, a request for the plain URL address, and its item.
func (p *Proxy) owned(r *http.Request, address string) (own, record.Item, bool) {
	for _, o := range p.own {
		if rest, ok := strings.CutPrefix(address, o.base+"/"); ok {
			u, err := url.Parse("/" + rest)
			if err != nil {
				continue
			}
			inner := r.WithContext(r.Context())
			inner.URL = u
			if it, err := o.protocol.Item(inner); err == nil {
				return o, it, true
			}
		}
	}
	return own{}, record.Item{}, false
}

// Close ends every tunnel.
func (p *Proxy) Close() error {
	err := p.inner.Close()
	<-p.done
	return err
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	case r.URL.IsAbs():
		p.answer(w, r)
	default:
		p.next.ServeHTTP(w, r)
	}
}

func (p *Proxy) answer(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		select {
		case p.turns <- struct{}{}:
			defer func() { <-p.turns }()
		case <-r.Context().Done():
			return
		}
	}
	it, err := p.urls.Item(r)
	if err != nil {
		record.Refuse(w, r, p.getter, Name, err)
		return
	}
	it.Beyond = isBeyond(r.Context())
	if o, inner, ok := p.owned(r, it.Upstream); ok && it.Method == "" {
		record.Answer(w, r, p.getter, o.protocol, inner, o.base)
		return
	}
	record.Answer(w, r, p.getter, p.urls, it, "")
}

// connect takes the connection over and speaks TLS on it in the origin's place.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	h, ok := w.(http.Hijacker)
	if err != nil || host == "" || !ok {
		httpx.Errors{}.Write(w, r, errs.Errorf(errs.Invalid, "a tunnel needs CONNECT HOST:PORT"))
		return
	}
	conn, buf, err := h.Hijack()
	if err != nil {
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = conn.Close()
		return
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return p.ca.certificate(strings.ToLower(host))
		},
	}
	inner := &unread{Conn: tls.Server(&tunnel{conn, buf.Reader}, config), getter: p.getter, host: r.Host}
	inner.beyond.Store(isBeyond(r.Context()))
	p.conns.add(inner)
}

// tunneled serves a request that came through a tunnel.
func (p *Proxy) tunneled(w http.ResponseWriter, r *http.Request) {
	host, ok := r.Context().Value(hostKey{}).(string)
	if !ok {
		httpx.Errors{}.Write(w, r, errs.Errorf(errs.Invalid, "not a tunnel"))
		return
	}
	r.URL.Scheme, r.URL.Host = "https", host
	p.answer(w, r)
}

type hostKey struct{}

// tunnel is a client's connection after CONNECT, with what was read of it already.
type tunnel struct {
	net.Conn
	buf *bufio.Reader
}

// NetConn returns the connection below t.
func (t *tunnel) NetConn() net.Conn { return t.Conn }

func (t *tunnel) Read(p []byte) (int, error) { return t.buf.Read(p) }

// queue is a listener of connections that came another way.
type queue struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newQueue() *queue { return &queue{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (q *queue) add(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.closed:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return &net.UnixAddr{Name: "tunnel", Net: "unix"} }
