package netcache

import (
	"cmp"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"overland/internal/admission"
	"overland/internal/httpx"
	"overland/internal/netcache/server"
	"overland/internal/store"
)

const maxDrain = 1 << 30 // bytes of a refused body that are read so that its sender sees the answer

// Options are the settings of a Face. The zero value works.
type Options struct {
	Log *slog.Logger // nil = none
}

// Face answers the requests of both services. It is safe for concurrent use. It stands behind
// httpx.Bodies, which ends the bodies of clients that send nothing more.
type Face struct {
	s     *server.Server
	o     Options
	lists *admission.Requests // that are in memory
}

const (
	lists    = 16               // of MiB each, shared among clients
	patience = 20 * time.Second // for a place among them
)

// New returns the face of s.
func New(s *server.Server, o Options) *Face {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return &Face{s, o, admission.NewRequests(lists)}
}

// Mount serves blobs at and below the path cache, entries below the path dir, and everything else
// by next. A path may be "/" or hold several segments; "" leaves that service out; nil answers 404.
// Paths are compared as they are sent: http.ServeMux would answer a key with ".." in it, and the
// path without its last "/", by redirects, which the clients do not follow. So a Mount stands
// before a ServeMux, not behind one.
func (f *Face) Mount(cache, dir string, next http.Handler) http.Handler {
	if next == nil {
		next = http.NotFoundHandler()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The longer path first: one may be above the other.
		blobs, isBlob := below(cache, r.URL)
		key, isKey := below(dir, r.URL)
		switch {
		case isBlob && (!isKey || len(cache) >= len(dir)):
			f.serve(w, r, blobs, f.blob)
		case isKey:
			f.serve(w, r, key, f.key)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (f *Face) serve(w http.ResponseWriter, r *http.Request, name string, do func(http.ResponseWriter, *http.Request, string) error) {
	if err := do(w, r, name); err != nil {
		f.fail(w, r, err)
	}
}

// below returns what follows the mount path in u, unescaped, without the "/" between them.
func below(mount string, u *url.URL) (rest string, ok bool) {
	if mount == "" {
		return "", false
	}
	rest, ok = strings.CutPrefix(u.Path, strings.TrimSuffix(mount, "/"))
	if !ok || (rest != "" && rest[0] != '/') {
		return "", false
	}
	return strings.TrimPrefix(rest, "/"), true
}

// writer returns the account that sent r, and its address.
func (f *Face) writer(r *http.Request) (server.By, error) {
	var c *x509.Certificate
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		c = r.TLS.PeerCertificates[0]
	}
	account, err := f.s.Writer(c)
	from, _, _ := net.SplitHostPort(r.RemoteAddr) // "" = all whose address is not known
	if c := admission.For(r.Context()).String(); c != "" {
		from = c // the network of an IPv6 address
	}
	return server.By{Account: account, Remote: r.RemoteAddr, Client: from}, err
}

// fail answers with err. The old client sends its whole body before it reads: unless a bounded
// amount of it is read, it sees a broken pipe in place of the status. A client that waits for
// 100 Continue has sent nothing.
func (f *Face) fail(w http.ResponseWriter, r *http.Request, err error) {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case errors.Is(err, store.ErrTooLarge):
		err = httpx.WithStatus(err, http.StatusRequestEntityTooLarge)
	case errors.Is(err, io.ErrUnexpectedEOF), r.Context().Err() != nil:
		err = httpx.WithStatus(err, http.StatusBadRequest) // nobody is there to read it
	case httpx.Status(err) > http.StatusInternalServerError && !reads:
		// Of what fails for a reader, whoever asked upstream has logged it, once for all who wait.
		f.o.Log.Error("request of the network cache failed", "path", r.URL.Path, "error", err)
	}
	if r.Header.Get("Expect") == "" && !errors.Is(err, io.ErrUnexpectedEOF) { // of what broke off nothing more comes
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
	}
	httpx.Errors{Form: httpx.Line, Log: f.o.Log}.Write(w, r, err)
}
