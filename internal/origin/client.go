package origin

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
)

// Defaults of a Client and a Request.
const (
	DefaultStall = 30 * time.Second
	DefaultTries = 4
	DefaultWait  = 500 * time.Millisecond
	DefaultLimit = 4 << 30 // bytes
	headLimit    = 1 << 20 // bytes of an answer's header, interim answers and trailers included
)

// Client asks origins. The zero value works; it is safe for concurrent use.
type Client struct {
	Transport http.RoundTripper         // nil = an httpx.Transport of its own, which heeds the proxy variables of the process
	Stall     time.Duration             // end an attempt when no byte came for so long; 0 = DefaultStall
	Tries     int                       // attempts in a row that get no further than those before; 0 = DefaultTries
	Wait      time.Duration             // before the second attempt, doubled each time; 0 = DefaultWait
	Tell      func(host string) bool    // whether a host is another site: it is told the way of a request, and says how far it is; nil = none is
	Roots     map[string]*x509.CertPool // by host, with its port: certificates believed for it, in place of the machine's; not with Transport
	Dir       string                    // for what is being fetched; "" = the system's temporary directory

	once sync.Once
	own  own
}

// own are the connections of a Client that has no Transport.
type own struct {
	usual *httpx.Transport
	by    map[string]*httpx.Transport // of Client.Roots
}

// RoundTrip implements http.RoundTripper.
func (o *own) RoundTrip(r *http.Request) (*http.Response, error) {
	if t := o.by[r.URL.Host]; t != nil && r.URL.Scheme == "https" {
		return t.RoundTrip(r)
	}
	return o.usual.RoundTrip(r)
}

// RoundTripper returns what c sends requests with.
func (c *Client) RoundTripper() http.RoundTripper {
	if c.Transport != nil {
		return c.Transport
	}
	c.once.Do(c.open)
	return &c.own
}

func (c *Client) open() {
	c.own = own{ownTransport(nil), map[string]*httpx.Transport{}}
	for host, roots := range c.Roots {
		c.own.by[host] = ownTransport(roots)
	}
}

func ownTransport(roots *x509.CertPool) *httpx.Transport {
	return httpx.NewTransport(httpx.Ways{Change: func(t *http.Transport) {
		t.MaxResponseHeaderBytes = headLimit
		if roots != nil {
			t.TLSClientConfig.RootCAs = roots
		}
	}})
}

// CloseIdleConnections closes the connections that are kept for later. Those of Transport stay.
func (c *Client) CloseIdleConnections() {
	c.once.Do(c.open)
	c.own.usual.CloseIdleConnections()
	for _, t := range c.own.by {
		t.CloseIdleConnections()
	}
}

// Request is what is asked for.
type Request struct {
	URL      string      // absolute; "" = nobody has it
	Named    string      // the origin in whose document URL stands; "" = it was configured
	Beyond   bool        // whoever names URL may reach the network through this machine, and nothing of the machine itself
	Name     string      // its name in an error, when it has no URL
	Fallback []string    // further URLs, asked in turn when those before say that there is no such thing
	Method   string      // "" = GET
	Header   http.Header // sent as it is
	Body     []byte      // sent with Method POST
	Limit    int64       // most bytes of the answer; 0 = DefaultLimit
	Size     int64       // how many bytes the answer must have; 0 = not known
	Page     bool        // a web page is an acceptable answer
	Whole    bool        // every answer is one: its status, header and body, of a redirect too (see transfer.whole)
	Follow   bool        // of Whole: redirects are followed
	Once     bool        // asked once and never again: what it does at the origin must not be done twice
	Fixed    bool        // the content of the URL never changes: it is resumed without a validator too, and by a later process
	Begun    func(*Flow) // called when the first byte is there to be read; not by GetInto; nil = nobody is told
	Else     bool        // the caller has somebody else to ask: an answer that drips is left, and not asked for again
	Local    bool        // a file: URL is read from this machine's disk; without it nobody can be led there
	Heard    func()      // called when something comes, from other goroutines too; nil = nobody is told
}

// Answer is a whole answer.
type Answer struct {
	Body      *os.File      // at its start; fsx.FS.Nameless made it; nil after GetInto
	Size      int64         // bytes
	Digest    digest.Digest // of Body; "" after GetInto
	MediaType string
	Status    int    // 200, unless the request is Whole
	URL       string // the one that answered, before redirects, without a password
	Header    http.Header
	// Spliced says that parts were put together without a validator: the bytes may be of two
	// versions. Only a request that is Fixed has such an answer.
	Spliced bool

	spool *spool // whose file Body is; nil after GetInto
	dir   string // for what is made of it
}

// Close frees the temporary file.
func (a *Answer) Close() error {
	if a.spool != nil {
		a.spool.remove()
		a.spool.flow.close()
	}
	return a.Body.Close()
}

// Sink takes the bytes of an answer in their order. Its errors end the request; with kind
// Unavailable they are tried again, unless the disk is full.
type Sink interface {
	io.Writer
	// Restart drops what was written: the answer begins anew.
	Restart() error
	// Expect is told how many more bytes will come, before they do, when the origin says that.
	Expect(n int64) error
}

// StatusError is an origin's answer other than success.
type StatusError struct {
	URL    string
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", e.URL, e.Status, http.StatusText(e.Status))
}

// Get returns what r.URL, or else one of r.Fallback, has, whole, in a temporary file. A transfer
// that breaks is resumed where it stopped. Errors: *StatusError (errs.NotFound, errs.Denied,
// errs.Unavailable); errs.Unavailable for whatever may work later, with httpx.ErrAnswer when
// something else answered; errs.Untrusted for redirects from https to http, for certificates that
// do not hold, and for another size than r.Size.
func (c *Client) Get(ctx context.Context, r Request) (*Answer, error) {
	s, err := c.openSpool(r)
	if err != nil {
		return nil, err
	}
	a, err := c.get(ctx, r, s, s)
	if err == nil {
		err = s.finish()
	}
	if err != nil {
		s.flow.end("", err)
		k := errs.KindOf(err)
		s.leave(ctx.Err() != nil || k == errs.Unavailable && !errors.Is(err, httpx.ErrAnswer))
		return nil, err
	}
	a.Body, a.Digest, a.spool, a.dir = s.file, s.hash.Digest(), s, c.Dir
	s.flow.end(a.Digest, nil)
	return a, nil
}

// GetInto is Get with the bytes written to sink, which holds the whole answer
// exactly when the error is nil.
func (c *Client) GetInto(ctx context.Context, r Request, sink Sink) (*Answer, error) {
	return c.get(ctx, r, sink, nil)
}

// get is GetInto; spool is the sink if it is one, else nil.
func (c *Client) get(ctx context.Context, r Request, sink Sink, s *spool) (*Answer, error) {
	if r.URL == "" {
		return nil, errs.E(errs.NotFound, &StatusError{URL: r.Name, Status: http.StatusNotFound})
	}
	a, err := c.getOne(ctx, r, r.URL, sink, s)
	for _, next := range r.Fallback {
		if err == nil || errs.KindOf(err) != errs.NotFound {
			break
		}
		if err = sink.Restart(); err != nil {
			return nil, err
		}
		a, err = c.getOne(ctx, r, next, sink, s)
	}
	return a, err
}

func (c *Client) getOne(ctx context.Context, r Request, from string, sink Sink, s *spool) (*Answer, error) {
	t := &transfer{c: c, r: r, url: from, name: httpx.Redacted(from), sink: sink, spool: s, limit: cmp.Or(r.Limit, DefaultLimit)}
	if s != nil {
		t.got, t.spliced = s.at, s.at > 0
	}
	wait, best := cmp.Or(c.Wait, DefaultWait), t.got
	for tries := 1; ; tries++ {
		t.last = r.Once || tries >= cmp.Or(c.Tries, DefaultTries)
		err := t.attempt(ctx)
		if err == nil {
			return &Answer{Size: t.got, MediaType: t.media, Status: t.status, URL: t.name, Header: t.header, Spliced: t.spliced}, nil
		}
		if t.got > best && !errors.Is(err, httpx.ErrDrips) { // what came again, or drips, is not progress
			best, tries, wait = t.got, 0, cmp.Or(c.Wait, DefaultWait)
		}
		if ctx.Err() != nil || !retryable(err) || r.Once || r.Else && errors.Is(err, httpx.ErrDrips) || tries >= cmp.Or(c.Tries, DefaultTries) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// retryable reports whether the same request may bring more.
func retryable(err error) bool {
	status := (*StatusError)(nil)
	if errors.As(err, &status) {
		return status.Status >= http.StatusInternalServerError || status.Status == http.StatusTooManyRequests
	}
	return errs.KindOf(err) == errs.Unavailable && !errors.Is(err, httpx.ErrAnswer) && !fsx.IsFull(err) && !errors.Is(err, fsx.ErrNoRoom)
}

// RefusePage returns an error (errs.Unavailable) when body, which is rewound, is a web
// page in place of what was wanted.
func RefusePage(body io.ReadSeeker) error {
	head := make([]byte, httpx.PageHead)
	n, err := io.ReadFull(body, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if httpx.IsPage("", head[:n]) {
		return errs.E(errs.Unavailable, httpx.ErrPage)
	}
	_, err = body.Seek(0, io.SeekStart)
	return err
}

// errSize returns the error of an answer that has n bytes where r.Size was wanted.
func (r Request) errSize(name string, n int64) error {
	return errs.Errorf(errs.Untrusted, "%s: %d bytes, not %d: %w", name, n, r.Size, digest.ErrMismatch)
}
