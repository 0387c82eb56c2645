package record

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
)

// Defaults of Upstream.
const (
	DefaultStall = 30 * time.Second
	DefaultTries = 4
	DefaultWait  = 500 * time.Millisecond
	redirects    = 10
)

// errUnusable means that what came is not the thing: a web page, another range, too many bytes.
var errUnusable = errors.New("unusable answer")

// StatusError is an upstream's answer other than success.
type StatusError struct {
	URL       string
	Status    int
	Challenge []string // with status 401: how a client says who it is (WWW-Authenticate)
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", e.URL, e.Status, http.StatusText(e.Status))
}

// Upstream fetches from origins. The zero value works; it is safe for concurrent use.
type Upstream struct {
	Transport http.RoundTripper      // nil = as http.DefaultTransport, which heeds the proxy variables of the process
	Stall     time.Duration          // end an attempt when no byte came for so long; 0 = DefaultStall
	Tries     int                    // attempts in a row that bring no byte; 0 = DefaultTries
	Wait      time.Duration          // before the second attempt, doubled each time; 0 = DefaultWait
	Tell      func(host string) bool // whether a host is another cache: it is told the way of a request, and how long it may take; nil = none is
	Dir       string                 // for what is being fetched; "" = the system's temporary directory
}

// Fetched is a whole answer.
type Fetched struct {
	Body      *os.File // at its start; fsx.FS.Nameless made it
	Size      int64    // bytes
	MediaType string
	URL       string // the one that answered, before redirects, without a password
	Header    http.Header
}

// Close frees the temporary file.
func (f *Fetched) Close() error { return f.Body.Close() }

// Get returns what it.Upstream, or else one of it.Fallback, has, whole. A transfer that breaks is resumed where it
// stopped when the origin gave it a validator. Errors: *StatusError (errs.NotFound, errs.Denied, errs.Unavailable),
// errs.Unavailable for whatever may work later, errs.Untrusted for redirects from https to http and for
// certificates that do not hold.
func (u *Upstream) Get(ctx context.Context, it Item) (*Fetched, error) {
	if it.Upstream == "" {
		return nil, errs.E(errs.NotFound, &StatusError{URL: it.Key, Status: http.StatusNotFound})
	}
	f, err := u.getOne(ctx, it, it.Upstream)
	for _, next := range it.Fallback {
		if err == nil || errs.KindOf(err) != errs.NotFound {
			break
		}
		f, err = u.getOne(ctx, it, next)
	}
	return f, err
}

func (u *Upstream) getOne(ctx context.Context, it Item, from string) (_ *Fetched, err error) {
	const mode = 0o600
	spool, err := (fsx.FS{}).Nameless(u.Dir, mode)
	if err != nil {
		return nil, fsx.Full(err)
	}
	t := &transfer{u: u, it: it, url: from, name: Redacted(from), file: spool, limit: cmp.Or(it.Limit, DefaultLimit)}
	defer func() {
		if err != nil {
			_ = spool.Close()
		}
	}()
	wait := cmp.Or(u.Wait, DefaultWait)
	for tries := 1; ; tries++ {
		before := t.got
		err := t.attempt(ctx)
		if err == nil {
			break
		}
		if t.got > before {
			tries, wait = 0, cmp.Or(u.Wait, DefaultWait)
		}
		if ctx.Err() != nil || !again(err) || tries >= cmp.Or(u.Tries, DefaultTries) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return &Fetched{Body: spool, Size: t.got, MediaType: t.media, URL: t.name, Header: t.header}, nil
}

// watchedKey is where a context holds what Upstream calls when something comes.
type watchedKey struct{}

// Watched returns a context in which Upstream.Get calls heard whenever something comes.
func Watched(ctx context.Context, heard func()) context.Context {
	return context.WithValue(ctx, watchedKey{}, heard)
}

// again reports whether the same request may bring more.
func again(err error) bool {
	status := (*StatusError)(nil)
	if errors.As(err, &status) {
		return status.Status >= http.StatusInternalServerError || status.Status == http.StatusTooManyRequests
	}
	return errs.KindOf(err) == errs.Unavailable && !errors.Is(err, errUnusable) && !fsx.IsFull(err)
}

// transfer is one thing on its way in, over any number of attempts.
type transfer struct {
	u     *Upstream
	it    Item
	url   string
	name  string // the same for people: errors are printed, logged and answered with
	file  *os.File
	limit int64

	got       int64  // bytes in file
	validator string // an ETag or date under which the rest can be asked for
	media     string
	header    http.Header
}

func (t *transfer) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := cmp.Or(t.u.Stall, DefaultStall)
	heard, _ := ctx.Value(watchedKey{}).(func())
	watch := time.AfterFunc(stall, func() {
		cancel(errs.Errorf(errs.Unavailable, "%s: went silent: no byte for %s", t.name, stall))
	})
	defer watch.Stop()
	err := t.once(ctx, func() {
		watch.Reset(stall)
		if heard != nil {
			heard()
		}
	})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (t *transfer) once(ctx context.Context, seen func()) error {
	req, err := http.NewRequestWithContext(ctx, cmp.Or(t.it.Method, http.MethodGet), t.url, bytes.NewReader(t.it.Body))
	if err != nil {
		return errs.Errorf(errs.Invalid, "%s cannot be asked for", t.name) // err has the address as it is
	}
	req.Header.Set("Accept-Encoding", "identity") // the bytes as they are, not as a transport packs them
	for k, v := range t.it.Header {
		req.Header[k] = v
	}
	if t.got > 0 && t.validator == "" {
		if err := t.restart(); err != nil {
			return err
		}
	}
	if t.got > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.got))
		req.Header.Set("If-Range", t.validator)
	}
	if t.u.Tell != nil && t.u.Tell(req.URL.Host) {
		httpx.Forward(ctx, req.Header)
		req = req.WithContext(httpx.Ask(ctx, req.Header, seen))
	}
	res, err := t.client().Do(req)
	if err != nil {
		var cert *tls.CertificateVerificationError
		switch {
		case errs.KindOf(err) != errs.Internal:
			return err
		case errors.As(err, &cert):
			return errs.E(errs.Untrusted, err)
		}
		return errs.E(errs.Unavailable, err)
	}
	defer res.Body.Close()
	if err := t.begin(res); err != nil {
		return err
	}
	return t.copy(res, seen)
}

// begin takes the answer's head: it decides where the body goes.
func (t *transfer) begin(res *http.Response) error {
	switch s := res.StatusCode; {
	case s == http.StatusPartialContent && t.got > 0:
		if from, ok := rangeStart(res.Header.Get("Content-Range")); !ok || from != t.got {
			return errors.Join(t.restart(), t.unusable("Content-Range %q for bytes from %d", res.Header.Get("Content-Range"), t.got))
		}
		return nil
	case s == http.StatusOK:
		if err := t.restart(); err != nil {
			return err
		}
	case s == http.StatusRequestedRangeNotSatisfiable && t.got > 0:
		return errors.Join(t.restart(), errs.Errorf(errs.Unavailable, "%s: changed while it was fetched", t.name))
	default:
		return statusError(t.name, res)
	}
	if res.ContentLength > t.limit {
		return t.unusable("%d bytes, more than the limit of %d", res.ContentLength, t.limit)
	}
	t.header = res.Header
	t.media, _, _ = mime.ParseMediaType(res.Header.Get("Content-Type"))
	t.media = cmp.Or(t.media, "application/octet-stream")
	if t.media == "text/html" && !t.it.HTML {
		return t.unusable("a web page in place of it (a captive portal or a login page?)")
	}
	t.validator = ""
	if tag := res.Header.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		t.validator = tag
	} else if date := res.Header.Get("Last-Modified"); date != "" && res.Header.Get("Accept-Ranges") == "bytes" {
		t.validator = date
	}
	return nil
}

func (t *transfer) copy(res *http.Response, seen func()) error {
	size := 64 << 10
	if res.ContentLength < 0 {
		// Of a body in chunks one Read takes until the buffer is full: on a link of 4 KB/s that many ask at once, a large one
		// is silence.
		size = 4 << 10
	}
	in := bufio.NewReaderSize(io.LimitReader(res.Body, t.limit-t.got+1), size)
	if t.got == 0 && !t.it.HTML {
		if head, _ := in.Peek(headSize); looksHTML(head) {
			return t.unusable("a web page in place of it (a captive portal or a login page?)")
		}
	}
	buf := make([]byte, size)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			seen()
			if _, werr := t.file.Write(buf[:n]); werr != nil {
				return fsx.Full(werr)
			}
			t.got += int64(n)
		}
		switch {
		case t.got > t.limit:
			return t.unusable("more than the limit of %d bytes", t.limit)
		case err == io.EOF:
			return nil
		case err != nil:
			return errs.Errorf(errs.Unavailable, "%s: broke off after %d bytes: %w", t.name, t.got, err)
		}
	}
}

// restart forgets what came so far.
func (t *transfer) restart() error {
	t.got, t.validator = 0, ""
	if err := t.file.Truncate(0); err != nil {
		return err
	}
	_, err := t.file.Seek(0, io.SeekStart)
	return err
}

func (t *transfer) unusable(format string, args ...any) error {
	return errs.Errorf(errs.Unavailable, "%s: %w: %s", t.name, errUnusable, fmt.Sprintf(format, args...))
}

func (t *transfer) client() *http.Client {
	return &http.Client{
		Transport: t.u.Transport,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			switch {
			case len(via) > redirects:
				return t.unusable("more than %d redirects", redirects)
			case via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https":
				return errs.Errorf(errs.Untrusted, "%s: redirects from https to %s", t.name, req.URL.Scheme)
			case via[len(via)-1].Method == http.MethodPost && req.Response.StatusCode != http.StatusSeeOther:
				t.postAgain(req)
			}
			return nil
		},
	}
}

// postAgain makes req, to where a POST was redirected, that POST: net/http makes a GET of it; git, which is who sends them,
// does not.
func (t *transfer) postAgain(req *http.Request) {
	req.Method, req.Body, req.ContentLength = t.it.Method, io.NopCloser(bytes.NewReader(t.it.Body)), int64(len(t.it.Body))
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		if v, ok := t.it.Header[name]; ok {
			req.Header[name] = v
		}
	}
}

// Redacted returns the URL s without the password that it may hold; what is no URL may hold one anywhere.
func Redacted(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "an address that is no URL"
	}
	return u.Redacted()
}

func statusError(url string, res *http.Response) error {
	kind := errs.Unavailable
	switch res.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		kind = errs.NotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		kind = errs.Denied
	}
	return errs.E(kind, &StatusError{url, res.StatusCode, res.Header.Values("Www-Authenticate")})
}

// looksHTML reports whether head is the beginning of a web page.
func looksHTML(head []byte) bool {
	s := bytes.ToLower(bytes.TrimLeft(head, "\xef\xbb\xbf \t\r\n"))
	return bytes.HasPrefix(s, []byte("<!doctype html")) || bytes.HasPrefix(s, []byte("<html"))
}

// headSize is how many bytes tell a web page.
const headSize = 64

// RefusePage returns an error (errs.Unavailable) when body, which is rewound, is a web page in place of it.
func RefusePage(it Item, body io.ReadSeeker) error {
	if it.HTML {
		return nil
	}
	head := make([]byte, headSize)
	n, err := io.ReadFull(body, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if looksHTML(head[:n]) {
		return errs.Errorf(errs.Unavailable, "%w: a web page in place of it", errUnusable)
	}
	_, err = body.Seek(0, io.SeekStart)
	return err
}

// rangeStart returns the first byte that a Content-Range (RFC 9110 §14.4) speaks of.
func rangeStart(s string) (int64, bool) {
	span, ok := strings.CutPrefix(s, "bytes ")
	first, _, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 {
		return 0, false
	}
	n, err := strconv.ParseInt(first, 10, 64)
	return n, err == nil && n >= 0
}
