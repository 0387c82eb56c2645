package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/store"
)

// Handler returns the HTTP face of k: each protocol below /NAME/.
func Handler(k Getter, protocols ...Protocol) http.Handler {
	mounts := map[string]http.Handler{}
	for _, p := range protocols {
		mounts[p.Name()] = http.StripPrefix("/"+p.Name(), &mount{k, p})
	}
	// Not a ServeMux: it would redirect paths such as npm's "@scope%2fname" and those with "//".
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		h, ok := mounts[name]
		if !ok {
			http.Error(w, "no protocol is served here: "+r.URL.Path, http.StatusNotFound)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// mount serves one protocol.
type mount struct {
	k Getter
	p Protocol
}

func (m *mount) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	it, err := m.p.Item(r)
	if err != nil {
		refuse(w, r, err)
		return
	}
	base := url.URL{Scheme: "http", Host: r.Host, Path: "/" + m.p.Name()}
	if r.TLS != nil {
		base.Scheme = "https"
	}
	Answer(w, r, m.k, m.p, it, base.String())
}

// followKey is where the context of a request holds its *follower.
type followKey struct{}

type follower struct{ came atomic.Pointer[func() int64] }

// Follow returns ctx for a Get, and what tells how much has come for that while it is not done: a number that rises.
func Follow(ctx context.Context) (context.Context, func() int64) {
	f := &follower{}
	return context.WithValue(ctx, followKey{}, f), func() int64 {
		if came := f.came.Load(); came != nil {
			return (*came)()
		}
		return 0
	}
}

// Report tells whoever follows ctx, the context of a Get, that came returns how much has come for it.
func Report(ctx context.Context, came func() int64) {
	if f, ok := ctx.Value(followKey{}).(*follower); ok {
		f.came.Store(&came)
	}
}

// Answer writes what k has for it, as p serves it. base is the absolute URL of the protocol's mount.
func Answer(w http.ResponseWriter, r *http.Request, k Getter, p Protocol, it Item, base string) {
	var e lockfile.Entry
	var blob store.Blob
	ctx, done := Follow(r.Context())
	err := httpx.Wait(w, r, done, func() (err error) {
		e, blob, err = k.Get(ctx, p, it)
		return err
	})
	if s := (*origin.StatusError)(nil); it.Login && errors.As(err, &s) && s.Status == http.StatusUnauthorized {
		w.Header()["Www-Authenticate"] = s.Challenge
		http.Error(w, "overland: "+err.Error(), s.Status)
		return
	}
	if err != nil {
		refuse(w, r, err)
		return
	}
	if !e.Exists() {
		http.Error(w, strings.ToLower(http.StatusText(e.Status))+": "+it.Key, e.Status)
		return
	}
	defer blob.Close()
	body, media, err := p.Serve(it, e, blob, base)
	if err != nil {
		refuse(w, r, fmt.Errorf("serve %s %s: %w", it.Protocol, it.Key, err))
		return
	}
	w.Header().Set("Content-Type", media)
	// A body that can be sought is the blob itself, or as good: parts of it may be asked for.
	if s, ok := body.(io.ReadSeeker); ok {
		since := noTime
		if body == io.Reader(blob) {
			w.Header().Set("Etag", `"`+e.Blob.Encoded()+`"`)
			since = e.Since
		}
		http.ServeContent(w, conditional(r, since), "", since, s)
		return
	}
	if r.Method == http.MethodHead {
		return
	}
	// Whatever ends this copy, the client sees a short body: the status is out.
	_, _ = io.Copy(w, body)
}

// conditional returns r with the conditions that hold of a content of that date. A client that comes to a freeze, or from
// another mirror, has a younger date than what it must be given: so only the same date is "not modified".
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

// refuse answers with err, named in plain text, or as JSON where a client wants that: the clients print it.
func refuse(w http.ResponseWriter, r *http.Request, err error) { httpx.Errors{}.Write(w, r, err) }
