package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// Blobs is where blobs come from; a *store.Store is one. The error of Open is of kind errs.NotFound for a blob that is
// not there.
type Blobs interface {
	Open(d digest.Digest) (*store.Blob, error)
}

// Metadata is where signed metadata comes from; a trust.MetadataSource is one.
type Metadata interface {
	Metadata(ctx context.Context, name string, limit int64) ([]byte, error)
}

// Options are the settings of a handler. Blobs and Trust are needed.
type Options struct {
	Blobs    Blobs
	Trust    Metadata
	Stall    time.Duration // a client that takes no byte for so long is dropped; default 2 min
	Requests int           // served at once; more are told to come back; default 512
	Log      *slog.Logger  // internal errors; default: nothing is logged
}

const (
	defaultStall    = 2 * time.Minute
	defaultRequests = 512
	metadataLimit   = 16 << 20 // bytes of one metadata file
	pathLimit       = 512
	retryAfter      = "5" // seconds
)

type handler struct {
	o     Options
	slots chan struct{}
}

// New returns the handler of /v1/. It is safe for concurrent use.
func New(o Options) http.Handler {
	if o.Stall <= 0 {
		o.Stall = defaultStall
	}
	if o.Requests <= 0 {
		o.Requests = defaultRequests
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &handler{o: o, slots: make(chan struct{}, o.Requests)}
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = newPatient(w, h.o.Stall)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		w.Header().Set("Retry-After", retryAfter)
		h.fail(w, r, errs.Errorf(errs.Unavailable, "too many requests at once"))
		return
	}
	if err := h.serve(w, r); err != nil {
		h.fail(w, r, err)
	}
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return errs.Errorf(errs.Invalid, "%s: only GET and HEAD are served", clip(r.Method))
	}
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close") // nobody reads that body
		return errs.Errorf(errs.Invalid, "a request has no body here")
	}
	// The path as it was sent: nothing is cleaned, decoded or redirected.
	path := r.URL.EscapedPath()
	if len(path) > pathLimit || r.URL.RawQuery != "" || r.URL.ForceQuery {
		return unknown(path)
	}
	if d, ok := strings.CutPrefix(path, "/v1/blobs/"); ok {
		return h.blob(w, r, d)
	}
	if name, ok := strings.CutPrefix(path, "/v1/trust/"); ok {
		return h.trust(w, r, name)
	}
	if path == "/v1/health" {
		return health(w)
	}
	return unknown(path)
}

func unknown(path string) error {
	return errs.Errorf(errs.NotFound, "no such thing: %s", clip(path))
}

// health says that requests are answered.
func health(w http.ResponseWriter) error {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{\"status\":\"ok\"}\n"))
	return nil
}

// problem is the body of every answer that is not a success.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// fail answers with err's kind. What went wrong inside is logged, not told.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	kind := errs.KindOf(err)
	p := problem{Code: kind.String(), Message: err.Error(), Hint: errs.HintOf(err)}
	if kind == errs.Internal {
		h.o.Log.Error("request failed", "path", clip(r.URL.EscapedPath()), "err", err)
		p = problem{Code: kind.String(), Message: "something went wrong on the site; its log says what"}
	}
	body, merr := json.Marshal(p)
	if merr != nil {
		panic(merr) // three strings always marshal
	}
	header := w.Header()
	header.Del("ETag")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", fmt.Sprint(len(body)+1))
	w.WriteHeader(status(kind, header))
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n'))
	}
}

func status(kind errs.Kind, header http.Header) int {
	if header.Get("Allow") != "" {
		return http.StatusMethodNotAllowed
	}
	return kind.Status()
}

func clip(s string) string { return s[:min(len(s), 100)] }
