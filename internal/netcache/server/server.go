package server

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"overland/internal/clock"
)

const (
	maxBlob  = 16 << 30 // bytes of a blob, by default
	maxDrain = 64 << 20 // bytes of a refused body that are read so that its sender sees the answer
	stall    = 30 * time.Second
)

// Options changes how a network cache is served. The zero value serves readers and lets nobody write.
type Options struct {
	Policy Policy
	// PolicyNow is asked for each request, in place of Policy: who was revoked is so at once. nil = Policy stays what it is.
	PolicyNow func() *Policy
	Through   *Through      // where what is not here may be; nil = nowhere
	MaxBlob   int64         // bytes of a blob that is taken; 0 = 16 GiB
	Stall     time.Duration // a body that brings no byte for so long has ended; 0 = 30 s
	Log       *slog.Logger  // nil = none
	Clock     clock.Clock   // nil = the machine's
}

// Server answers the requests of both services for one Shelf. It is safe for concurrent use.
type Server struct {
	shelf   *Shelf
	o       Options
	audit   audit
	through *through // nil = nobody is asked
}

// New returns a server of shelf. The caller ends it with Close.
func New(shelf *Shelf, o Options) *Server {
	if o.MaxBlob == 0 {
		o.MaxBlob = maxBlob
	}
	if o.Stall == 0 {
		o.Stall = stall
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Clock = o.Clock.Or()
	s := &Server{shelf: shelf, o: o, audit: audit{shelf: shelf}}
	if o.Through != nil {
		s.through = newThrough(s, *o.Through)
	}
	return s
}

// policy returns the policy of this moment.
func (s *Server) policy() *Policy {
	if s.o.PolicyNow != nil {
		return s.o.PolicyNow()
	}
	return &s.o.Policy
}

// Close ends what is fetched from elsewhere.
func (s *Server) Close() {
	if s.through != nil {
		s.through.close()
	}
}

// Mount serves blobs at and below the path cache, entries below the path dir, and everything else by next. A path may
// be "/" or hold several segments; "" leaves that service out; nil answers 404. Paths are compared as they are sent:
// http.ServeMux would answer a key with ".." in it, and the path without its last "/", by redirects, which the
// clients do not follow. So a Mount stands before a ServeMux, not behind one.
func (s *Server) Mount(cache, dir string, next http.Handler) http.Handler {
	if next == nil {
		next = http.NotFoundHandler()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The longer path first: one may be above the other.
		blobs, isBlob := below(cache, r.URL)
		key, isKey := below(dir, r.URL)
		switch {
		case isBlob && (!isKey || len(cache) >= len(dir)):
			s.serveBlob(w, watched(w, r, s.o.Stall), blobs)
		case isKey:
			s.serveKey(w, watched(w, r, s.o.Stall), key)
		default:
			next.ServeHTTP(w, r)
		}
	})
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
