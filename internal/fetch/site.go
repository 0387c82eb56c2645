package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
)

const (
	dialTimeout     = 10 * time.Second
	idleConns       = 8
	idleTimeout     = 60 * time.Second
	headerLimit     = 16 << 10
	tlsSessions     = 4
	metadataBackoff = 250 * time.Millisecond
)

// SiteOptions are the settings of a SiteSource. The zero value works.
type SiteOptions struct {
	Stall    time.Duration // metadata: a site that sends no byte for so long is asked anew; also for headers; default 30 s
	Attempts int           // metadata: tries in a row without a byte; default 5
	// Dial replaces the way to the site, for tests and tunnels. addr is the literal IP and port.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// SiteSource is a site, or anything else that speaks docs/format/site.md, known by its key. It is a
// Source and has the method of a trust.MetadataSource. HTTP/1.1 over TLS 1.3; no proxy, no
// redirect, no name to look up, no cookie. It is safe for concurrent use.
type SiteSource struct {
	url    SiteURL
	o      SiteOptions
	client *http.Client
	tr     *httpx.Transport

	mu     sync.Mutex
	recent map[string]document // the last answers that may be asked for again conditionally
}

type document struct {
	tag  string
	body []byte
}

// Site returns the site at rawurl, which ParseSiteURL reads. Nothing is sent yet. Call
// CloseIdleConnections on a site that is not used any more.
func Site(rawurl string, o SiteOptions) (*SiteSource, error) {
	u, err := ParseSiteURL(rawurl)
	if err != nil {
		return nil, err
	}
	if o.Stall <= 0 {
		o.Stall = defaultStall
	}
	if o.Attempts <= 0 {
		o.Attempts = 5
	}
	if o.Dial == nil {
		o.Dial = httpx.Localhost((&net.Dialer{Timeout: dialTimeout, KeepAlive: dialTimeout}).DialContext)
	}
	s := &SiteSource{url: u, o: o, recent: map[string]document{}}
	sessions := tls.NewLRUClientSessionCache(tlsSessions)
	s.tr = httpx.NewTransport(httpx.Ways{Dial: o.Dial, Change: func(t *http.Transport) {
		t.Proxy, t.ForceAttemptHTTP2 = nil, false
		t.TLSClientConfig = &tls.Config{
			MinVersion: tls.VersionTLS13,
			// The key is the identity: names and dates of a certificate would only add ways to fail
			// on a node whose clock says 1970.
			InsecureSkipVerify: true,
			VerifyConnection:   u.verify,
			ClientSessionCache: sessions,
		}
		t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = idleConns, idleConns, idleTimeout
		t.TLSHandshakeTimeout, t.MaxResponseHeaderBytes = o.Stall, headerLimit
	}})
	s.client = &http.Client{
		Transport:     s.tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// verify refuses every key but the pinned one.
func (u SiteURL) verify(c tls.ConnectionState) error {
	if len(c.PeerCertificates) == 0 {
		return errs.Errorf(errs.Untrusted, "%s showed no key", u.Base())
	}
	if got := PinOf(c.PeerCertificates[0]); got != u.Pin {
		return errs.Hint(errs.Errorf(errs.Untrusted, "%s has the key %s, not the pinned %s", u.Base(), got, u.Pin),
			"somebody answers in the site's place (a captive portal?), or the site has a new key: compare with what "+
				"`overland site init` prints on it")
	}
	return nil
}

// Name returns "site https://10.0.0.1:8443".
func (s *SiteSource) Name() string { return "site " + s.url.Base() }

// ID returns what the site is remembered by: its name and its pin. Another key at
// the same address is another site.
func (s *SiteSource) ID() string { return "site " + s.url.String() }

// URL returns where the site is and its pin.
func (s *SiteSource) URL() SiteURL { return s.url }

// CloseIdleConnections closes the connections that are kept for later. Those in use go on.
func (s *SiteSource) CloseIdleConnections() { s.tr.CloseIdleConnections() }

// Health returns nil when the site answers that it is well.
func (s *SiteSource) Health(ctx context.Context) error {
	w := httpx.NewWatchdog(ctx, s.o.Stall)
	defer w.Stop()
	resp, err := s.get(w.Context(), "/v1/health", nil)
	if err != nil {
		return w.Explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return s.refusal(resp)
	}
	return nil
}

// Open is Source.Open: GET /v1/blobs/sha256:HEX, with a Range when off > 0.
func (s *SiteSource) Open(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
	header := http.Header{}
	httpx.From(header, off)
	resp, err := s.get(ctx, "/v1/blobs/"+string(d), header)
	if err != nil {
		return nil, -1, err
	}
	size, err := s.checkBlob(resp, off)
	if err != nil {
		resp.Body.Close()
		return nil, -1, err
	}
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		resp.Body.Close()
		return http.NoBody, size, nil
	}
	return resp.Body, size, nil
}

// checkBlob returns the size of the whole blob, when resp is an answer
// to a request for it from off on.
func (s *SiteSource) checkBlob(resp *http.Response, off int64) (int64, error) {
	switch {
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && off > 0:
		r, err := httpx.ParseRange(resp.Header.Get("Content-Range"))
		if err == nil && r.Size > off {
			err = fmt.Errorf("%w: refuses byte %d of %d", httpx.ErrAnswer, off, r.Size)
		}
		return r.Size, err
	case resp.StatusCode != http.StatusOK && (resp.StatusCode != http.StatusPartialContent || off == 0):
		return -1, s.refusal(resp)
	}
	if err := plain(resp); err != nil {
		return -1, err
	}
	if resp.StatusCode == http.StatusOK {
		if off > 0 {
			return -1, ErrNoRange
		}
		return resp.ContentLength, nil
	}
	r, err := httpx.Part(resp, off)
	if err == nil && r.Size < 0 {
		err = fmt.Errorf("%w: a part of a blob whose size is not said", httpx.ErrAnswer)
	}
	if err != nil {
		return -1, err
	}
	return r.Size, nil
}

// plain refuses a body that is not the thing itself: a web page, something encoded, one whose
// end cannot be told from a cut.
func plain(resp *http.Response) error {
	kind := resp.Header.Get("Content-Type")
	if httpx.IsPage(kind, nil) {
		return errs.Hint(errs.E(errs.Unavailable, httpx.ErrPage), loginFirst)
	}
	if strings.HasPrefix(kind, "multipart/") {
		return fmt.Errorf("%w: of type %q", httpx.ErrAnswer, kind)
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return fmt.Errorf("%w: encoded as %q", httpx.ErrAnswer, enc)
	}
	if resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 {
		return fmt.Errorf("%w: no length", httpx.ErrAnswer)
	}
	return nil
}

// Ask returns what the site answers to GET path, which is escaped already: one try, at most limit
// bytes. heard is called while the site itself waits for more. Errors are of kind NotFound when the
// site says so, else of those of Metadata; they wrap httpx.ErrAnswer when it answered all the same.
func (s *SiteSource) Ask(ctx context.Context, path string, limit int64, heard func()) ([]byte, error) {
	w := httpx.NewWatchdog(ctx, s.o.Stall)
	defer w.Stop()
	w.Interim = heard
	w.Hurry(httpx.SharedPace)
	resp, err := s.get(w.Context(), path, nil)
	if err != nil {
		return nil, w.Explain(err)
	}
	defer resp.Body.Close()
	return s.whole(w, resp, limit)
}

// whole returns the body of a success.
func (s *SiteSource) whole(w *httpx.Watchdog, resp *http.Response, limit int64) ([]byte, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, s.refusal(resp)
	}
	if err := plain(resp); err != nil {
		return nil, errs.E(errs.Unavailable, err)
	}
	body, err := fsx.Read(w.Over(resp.Body), "the answer", limit)
	return body, errs.E(errs.Unavailable, err)
}

// Transport returns a way to reach the site, and nothing else, for callers that speak another
// protocol with it: requests below URL().Base().
func (s *SiteSource) Transport() http.RoundTripper { return s.tr }

// get asks for path, which is escaped already, within a watch. The caller closes the body.
func (s *SiteSource) get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.Base()+path, nil)
	if err != nil {
		return nil, errs.E(errs.Invalid, err)
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "overland")
	httpx.Forward(ctx, req.Header)
	ctx = httpx.AskWatched(ctx, req.Header)
	resp, err := s.client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, s.unreachable(err)
	}
	return resp, nil
}

// unreachable drops the URL that net/http repeats and gives the error its kind.
func (s *SiteSource) unreachable(err error) error {
	var kind *errs.Error
	if errors.As(err, &kind) {
		return kind // the pin
	}
	if dull := (*url.Error)(nil); errors.As(err, &dull) {
		err = dull.Err
	}
	err = errs.E(errs.Unavailable, err)
	if errors.Is(err, http.ErrSchemeMismatch) {
		return errs.Hint(err, loginFirst)
	}
	return err
}

const loginFirst = "the network that this machine is in answers in the site's place (a captive portal?): log in to it, or use another one"

// refusal makes an error of an answer that is not a success.
func (s *SiteSource) refusal(resp *http.Response) error {
	err := fmt.Errorf("%w: %s", httpx.ErrAnswer, resp.Status)
	kind := httpx.KindOf(resp.StatusCode)
	if kind == errs.NotFound {
		err = fmt.Errorf("does not have it: %w", fs.ErrNotExist)
	}
	if err = errs.E(kind, err); resp.StatusCode == http.StatusMisdirectedRequest {
		err = errs.Hint(err, "the site does not know that it is reached at this address: names: [%s] in its site.yaml", s.url.Addr.Addr())
	}
	return err
}
