package origin

import (
	"cmp"
	"context"
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
)

// Client asks origins. The zero value works; it is safe for concurrent use.
type Client struct {
	Transport http.RoundTripper      // nil = an httpx.Transport of its own, which heeds the proxy variables of the process
	Stall     time.Duration          // end an attempt when no byte came for so long; 0 = DefaultStall
	Tries     int                    // attempts in a row that bring no byte; 0 = DefaultTries
	Wait      time.Duration          // before the second attempt, doubled each time; 0 = DefaultWait
	Tell      func(host string) bool // whether a host is another site: it is told the way of a request, and says how far it is; nil = none is
	Dir       string                 // for what is being fetched; "" = the system's temporary directory

	once sync.Once
	own  *httpx.Transport
}

// RoundTripper returns what c sends requests with.
func (c *Client) RoundTripper() http.RoundTripper {
	if c.Transport != nil {
		return c.Transport
	}
	c.once.Do(func() { c.own = httpx.NewTransport(httpx.Ways{}) })
	return c.own
}

// CloseIdleConnections closes the connections that are kept for later. Those of Transport stay.
func (c *Client) CloseIdleConnections() {
	c.once.Do(func() { c.own = httpx.NewTransport(httpx.Ways{}) })
	c.own.CloseIdleConnections()
}

// Request is what is asked for.
type Request struct {
	URL      string      // absolute; "" = nobody has it
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
	Fixed    bool        // the content of the URL never changes: it is resumed without a validator too
	Heard    func()      // called when something comes, from other goroutines too; nil = nobody is told
}

// Answer is a whole answer.
type Answer struct {
	Body      *os.File // at its start; fsx.FS.Nameless made it; nil after GetInto
	Size      int64    // bytes
	MediaType string
	Status    int    // 200, unless the request is Whole
	URL       string // the one that answered, before redirects, without a password
	Header    http.Header
}

// Close frees the temporary file.
func (a *Answer) Close() error { return a.Body.Close() }

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
	URL       string
	Status    int
	Challenge []string // with status 401: how a client says who it is (WWW-Authenticate)
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
	const mode = 0o600
	file, err := (fsx.FS{}).Nameless(c.Dir, mode)
	if err != nil {
		return nil, fsx.Full(err)
	}
	a, err := c.GetInto(ctx, r, spool{file})
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	a.Body = file
	return a, nil
}

// GetInto is Get with the bytes written to sink, which holds the whole answer
// exactly when the error is nil.
func (c *Client) GetInto(ctx context.Context, r Request, sink Sink) (*Answer, error) {
	if r.URL == "" {
		return nil, errs.E(errs.NotFound, &StatusError{URL: r.Name, Status: http.StatusNotFound})
	}
	a, err := c.getOne(ctx, r, r.URL, sink)
	for _, next := range r.Fallback {
		if err == nil || errs.KindOf(err) != errs.NotFound {
			break
		}
		if err = sink.Restart(); err != nil {
			return nil, err
		}
		a, err = c.getOne(ctx, r, next, sink)
	}
	return a, err
}

func (c *Client) getOne(ctx context.Context, r Request, from string, sink Sink) (*Answer, error) {
	t := &transfer{c: c, r: r, url: from, name: httpx.Redacted(from), sink: sink, limit: cmp.Or(r.Limit, DefaultLimit)}
	wait := cmp.Or(c.Wait, DefaultWait)
	for tries := 1; ; tries++ {
		before := t.got
		t.last = r.Once || tries >= cmp.Or(c.Tries, DefaultTries)
		err := t.attempt(ctx)
		if err == nil {
			return &Answer{Size: t.got, MediaType: t.media, Status: t.status, URL: t.name, Header: t.header}, nil
		}
		if t.got > before {
			tries, wait = 0, cmp.Or(c.Wait, DefaultWait)
		}
		if ctx.Err() != nil || !retryable(err) || r.Once || tries >= cmp.Or(c.Tries, DefaultTries) {
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

// spool is a temporary file as a Sink.
type spool struct{ *os.File }

func (s spool) Write(p []byte) (int, error) {
	n, err := s.File.Write(p)
	return n, fsx.Full(err)
}

// Restart implements Sink.
func (s spool) Restart() error {
	if err := s.Truncate(0); err != nil {
		return err
	}
	_, err := s.Seek(0, io.SeekStart)
	return err
}

// Expect implements Sink.
func (s spool) Expect(int64) error { return nil }

// errSize returns the error of an answer that has n bytes where r.Size was wanted.
func (r Request) errSize(name string, n int64) error {
	return errs.Errorf(errs.Untrusted, "%s: %d bytes, not %d: %w", name, n, r.Size, digest.ErrMismatch)
}
