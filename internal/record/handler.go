package record

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/lockfile"
)

// Handler returns the HTTP face of g, with each protocol below /NAME/.
func Handler(g Getter, protocols ...Protocol) http.Handler {
	mounts := map[string]http.Handler{}
	for _, p := range protocols {
		mounts[p.Name()] = http.StripPrefix("/"+p.Name(), &mount{g, p})
	}
	// Not a ServeMux: it would redirect paths such as npm's "@scope%2fname" and those with "//".
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		h, ok := mounts[name]
		if !ok {
			refuse(w, r, errs.Errorf(errs.NotFound, "no protocol is served here: %s", r.URL.Path))
			return
		}
		h.ServeHTTP(w, r)
	})
}

// mount serves one protocol.
type mount struct {
	g Getter
	p Protocol
}

func (m *mount) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, HEAD, POST")
		Refuse(w, r, m.g, m.p.Name(), httpx.WithStatus(errs.Errorf(errs.Invalid, "only GET, HEAD and POST are served"), http.StatusMethodNotAllowed))
		return
	}
	it, err := m.p.Item(r)
	if err != nil {
		Refuse(w, r, m.g, m.p.Name(), err)
		return
	}
	base := url.URL{Scheme: "http", Host: r.Host, Path: "/" + m.p.Name()}
	if r.TLS != nil {
		base.Scheme = "https"
	}
	Answer(w, r, m.g, m.p, it, base.String())
}

// followKey is where the context of a request holds its *follower.
type followKey struct{}

type follower struct{ came atomic.Pointer[func() int64] }

// Follow returns ctx for a Get, and a function that returns how much has arrived for it so far: a
// number that only rises.
func Follow(ctx context.Context) (context.Context, func() int64) {
	f := &follower{}
	return context.WithValue(ctx, followKey{}, f), func() int64 {
		if came := f.came.Load(); came != nil {
			return (*came)()
		}
		return 0
	}
}

// Report tells the follower of ctx, the context of a Get, to call came for how much has arrived.
func Report(ctx context.Context, came func() int64) {
	if f, ok := ctx.Value(followKey{}).(*follower); ok {
		f.came.Store(&came)
	}
}

// Answer writes what g has for it, as p serves it. base is the
// absolute URL of the protocol's mount.
func Answer(w http.ResponseWriter, r *http.Request, g Getter, p Protocol, it Item, base string) {
	if err := Give(w, r, g, p, it, base); err != nil {
		refuse(w, r, err)
	}
}

// Give is Answer for a protocol with errors of its own form: with an error, nothing has been written.
func Give(w http.ResponseWriter, r *http.Request, g Getter, p Protocol, it Item, base string) error {
	end, given := get(w, r, g, p, it, base)
	if given {
		return nil
	}
	e, blob, err := end.entry, end.blob, end.err
	if err != nil {
		return err
	}
	if !e.Exists() {
		return Gone(e)
	}
	defer blob.Close()
	if it.Whole {
		serveWhole(w, r, it, e, blob)
		return nil
	}
	body, media, err := p.Serve(it, e, blob, base)
	if err != nil {
		return fmt.Errorf("serve %s %s: %w", it.Protocol, it.Key, err)
	}
	w.Header().Set("Content-Type", media)
	// A body that can seek is the blob itself, or as good as that: serve ranges of it.
	if s, ok := body.(io.ReadSeeker); ok {
		since := noTime
		if body == io.Reader(blob) {
			w.Header().Set("Etag", `"`+e.Blob.Encoded()+`"`)
			since = e.Since
		}
		httpx.OneRange(r.Header)
		http.ServeContent(w, conditional(r, since), "", since, s)
		return nil
	}
	if r.Method == http.MethodHead {
		return nil
	}
	// If the copy fails, the client sees a short body: the status has been sent.
	_, _ = io.Copy(w, body)
	return nil
}

// Gone returns the error of e, which says that its origin has no such thing.
func Gone(e lockfile.Entry) error {
	err := errs.Errorf(httpx.KindOf(e.Status), "%s: %s", strings.ToLower(http.StatusText(e.Status)), e.Key)
	return httpx.WithStatus(err, e.Status)
}

// conditional returns r without the conditions that must not be applied to content of that date. A
// client that turns to a freeze, or comes from another mirror, may have a later date than what it
// must get: so only the same date is "not modified".
func conditional(r *http.Request, since time.Time) *http.Request {
	asked := r.Header.Get("If-Modified-Since")
	if r.Method != http.MethodPost && (asked == "" || asked == since.UTC().Format(http.TimeFormat)) {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Del("If-Modified-Since")
	if r.Method == http.MethodPost {
		r.Header = http.Header{} // no ranges and no conditions
	}
	return r
}

// refuse answers with err as plain text, or as JSON if the client asks for that: clients print it.
func refuse(w http.ResponseWriter, r *http.Request, err error) { httpx.Errors{}.Write(w, r, err) }
