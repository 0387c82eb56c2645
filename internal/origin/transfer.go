package origin

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
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
)

const redirects = 10

// transfer is one answer on its way in, over any number of attempts.
type transfer struct {
	c     *Client
	r     Request
	url   string
	name  string // the same for people: errors are printed, logged and answered with
	sink  Sink
	limit int64

	spool     *spool // the sink, if it is one
	told      bool   // Request.Begun was called
	got       int64  // bytes in sink
	total     int64  // that the first answer said it has; 0 = unknown
	spliced   bool   // see Answer
	validator string // an ETag or date under which the rest can be asked for
	media     string
	status    int
	header    http.Header
	last      bool // attempt: its answer counts, whatever it is
}

func (t *transfer) attempt(ctx context.Context) error {
	w := httpx.NewWatchdog(ctx, cmp.Or(t.c.Stall, DefaultStall))
	defer w.Stop()
	w.Interim = t.r.Heard
	if t.r.Else {
		w.Hurry(httpx.SharedPace)
	}
	err := t.once(w)
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && w.Context().Err() != nil:
		return errs.E(errs.Unavailable, fmt.Errorf("%s: %w", t.name, context.Cause(w.Context())))
	}
	return err
}

func (t *transfer) once(w *httpx.Watchdog) error {
	ctx := w.Context()
	req, err := http.NewRequestWithContext(ctx, cmp.Or(t.r.Method, http.MethodGet), t.url, bytes.NewReader(t.r.Body))
	if err != nil {
		return errs.Errorf(errs.Invalid, "%s cannot be asked for", t.name) // err has the address as it is
	}
	req.Header.Set("Accept-Encoding", "identity") // the bytes as they are, not as a transport packs them
	for k, v := range t.r.Header {
		req.Header[k] = v
	}
	if t.got > 0 && (t.validator == "" && !t.r.Fixed || t.r.Header.Get("Range") != "") {
		if err := t.restart(); err != nil {
			return err
		}
	}
	httpx.From(req.Header, t.got)
	if t.got > 0 && t.validator != "" {
		req.Header.Set("If-Range", t.validator)
	}
	if t.c.Tell != nil && t.c.Tell(req.URL.Host) {
		httpx.Forward(ctx, req.Header)
		req = req.WithContext(httpx.AskWatched(ctx, req.Header))
	}
	client, err := t.client(ctx)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		err = httpx.RedactedError(err)
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
	w.Seen()
	if err := t.begin(res); err != nil {
		return err
	}
	if res.StatusCode == http.StatusRequestedRangeNotSatisfiable && t.got > 0 {
		return nil // it was there already
	}
	return t.copy(res, w)
}

// begin reads the answer's head: it decides where the body goes.
func (t *transfer) begin(res *http.Response) error {
	switch s := res.StatusCode; {
	case t.whole(s):
		t.validator = ""
	case s == http.StatusPartialContent && t.got > 0:
		return t.goOn(res)
	case s == http.StatusOK:
		if err := t.restart(); err != nil {
			return err
		}
	case s == http.StatusRequestedRangeNotSatisfiable && t.got > 0:
		if r, err := httpx.ParseRange(res.Header.Get("Content-Range")); err == nil && r.Size == t.got && t.r.Fixed {
			return t.head(res) // there is no more than that
		}
		return errors.Join(t.restart(), errs.Errorf(errs.Unavailable, "%s: changed while it was fetched", t.name))
	default:
		return errs.E(httpx.KindOf(s), &StatusError{t.name, s})
	}
	n := res.ContentLength
	switch {
	case n > t.limit:
		return t.unusable("%d bytes, more than the limit of %d", n, t.limit)
	case n >= 0 && t.r.Size > 0 && n != t.r.Size:
		return t.r.errSize(t.name, n)
	}
	t.header = nil
	if err := t.head(res); err != nil {
		return err
	}
	t.validator, t.spliced, t.total = "", false, max(n, 0)
	if tag := res.Header.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		t.validator = tag
	} else if date := res.Header.Get("Last-Modified"); date != "" && res.Header.Get("Accept-Ranges") == "bytes" {
		t.validator = date
	}
	if n < 0 {
		n = t.r.Size
	}
	if n > 0 {
		return t.sink.Expect(n)
	}
	return nil
}

// head keeps the head of the first answer that brings something.
func (t *transfer) head(res *http.Response) error {
	if t.header != nil {
		return nil
	}
	t.header, t.status = res.Header, res.StatusCode
	if t.got > 0 { // the rest of what an earlier process left
		t.status = http.StatusOK
		t.header = res.Header.Clone()
		t.header.Del("Content-Range")
		t.header.Del("Content-Length")
	}
	t.media, _, _ = mime.ParseMediaType(res.Header.Get("Content-Type"))
	t.media = cmp.Or(t.media, "application/octet-stream")
	if !t.r.Page && httpx.IsPage(t.media, nil) {
		return t.page()
	}
	return nil
}

// whole reports whether an answer with status s is one that a Whole request wants, and not one to a
// question for the rest. What a server says that it will get over is wanted only of the last attempt.
func (t *transfer) whole(s int) bool {
	passing := s >= http.StatusInternalServerError || s == http.StatusTooManyRequests
	return t.r.Whole && t.got == 0 && (!passing || t.last)
}

// goOn reads the head of an answer that is to follow what came before: the rest, and nothing else.
func (t *transfer) goOn(res *http.Response) error {
	part, err := httpx.Part(res, t.got)
	if err == nil && part.Size >= 0 && t.r.Size > 0 && part.Size != t.r.Size {
		err = fmt.Errorf("%w: a part of %d bytes, not of %d", httpx.ErrAnswer, part.Size, t.r.Size)
	}
	if err == nil && part.Size >= 0 && t.total > 0 && part.Size != t.total {
		err = fmt.Errorf("%w: a part of %d bytes, not of %d", httpx.ErrAnswer, part.Size, t.total)
	}
	if err != nil && t.r.Fixed {
		err = errors.New(err.Error()) // the whole, asked for anew, may still be right: not ErrAnswer
	}
	if err != nil {
		return errors.Join(t.restart(), errs.E(errs.Unavailable, fmt.Errorf("%s: %w", t.name, err)))
	}
	t.spliced = t.spliced || t.validator == ""
	if err := t.head(res); err != nil {
		return err
	}
	if part.Size >= 0 {
		t.total = part.Size
		return t.sink.Expect(part.Size - t.got)
	}
	return nil
}

func (t *transfer) copy(res *http.Response, w *httpx.Watchdog) error {
	const small, large = 4 << 10, 64 << 10
	// One Read of a chunked body lasts until the buffer is full: with a large buffer, a link of
	// 4 KB/s that many share would look silent. Most answers are short: one of 1 KB needs no more.
	size := int(max(small, min(large, res.ContentLength+1)))
	limit := t.limit
	if t.r.Size > 0 {
		limit = t.r.Size
	}
	// One byte more than wanted is enough to know that it is something else.
	in := bufio.NewReaderSize(io.LimitReader(w.Over(res.Body), limit-t.got+1), size)
	if t.got == 0 && !t.r.Page {
		if head, _ := in.Peek(httpx.PageHead); httpx.IsPage("", head) {
			return t.page()
		}
	}
	buf := make([]byte, size)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if t.r.Heard != nil {
				t.r.Heard()
			}
			m, werr := t.sink.Write(buf[:n])
			t.got += int64(m)
			if werr != nil {
				return werr
			}
			t.begun()
		}
		switch {
		case t.got > limit && t.r.Size > 0:
			return t.r.errSize(t.name, t.got)
		case t.got > limit:
			return t.unusable("more than the limit of %d bytes", limit)
		case err == io.EOF && t.got < t.r.Size:
			return errs.Errorf(errs.Unavailable, "%s: ended after %d of %d bytes", t.name, t.got, t.r.Size)
		case err == io.EOF:
			return nil
		case err != nil:
			return errs.Errorf(errs.Unavailable, "%s: broke off after %d bytes: %w", t.name, t.got, err)
		}
	}
}

// begun hands the flow out once there is something of it.
func (t *transfer) begun() {
	if t.spool == nil || t.r.Begun == nil || t.told || t.status != http.StatusOK {
		return
	}
	t.told = true
	f := t.spool.flow
	f.MediaType, f.Header, f.Asked = t.media, t.header, t.r.Header
	t.r.Begun(f)
}

// restart forgets what came so far.
func (t *transfer) restart() error {
	t.validator, t.header = "", nil
	if t.got == 0 {
		return nil
	}
	t.got = 0
	return t.sink.Restart()
}

func (t *transfer) unusable(format string, args ...any) error {
	return errs.Errorf(errs.Unavailable, "%s: %w: %s", t.name, httpx.ErrAnswer, fmt.Sprintf(format, args...))
}

func (t *transfer) page() error {
	return errs.E(errs.Unavailable, fmt.Errorf("%s: %w", t.name, httpx.ErrPage))
}

func (t *transfer) client(ctx context.Context) (*http.Client, error) {
	if t.r.Local && strings.HasPrefix(t.url, "file:///") {
		return &http.Client{
			Transport:     http.NewFileTransportFS(fsx.DirFS("/")),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // it is a folder
		}, nil
	}
	h, err := newHops(ctx, t)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: h,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			switch {
			case t.r.Whole && !t.r.Follow:
				return http.ErrUseLastResponse
			case len(via) > redirects:
				return t.unusable("more than %d redirects", redirects)
			case via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https":
				return errs.Errorf(errs.Untrusted, "%s: redirects from https to %s", t.name, req.URL.Scheme)
			case via[len(via)-1].Method == http.MethodPost && req.Response.StatusCode != http.StatusSeeOther:
				t.postAgain(req)
			}
			leave(req, via[0])
			return nil
		},
	}, nil
}

// postAgain makes req, which a redirected POST led to, that POST again: net/http makes it a GET,
// but git, which sends them, does not.
func (t *transfer) postAgain(req *http.Request) {
	req.Method, req.Body, req.ContentLength = t.r.Method, io.NopCloser(bytes.NewReader(t.r.Body)), int64(len(t.r.Body))
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		if v, ok := t.r.Header[name]; ok {
			req.Header[name] = v
		}
	}
}
