package node

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"overland/internal/admission"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/store"
)

// Metadata is where signed metadata comes from; a trust.MetadataSource is one.
type Metadata interface {
	Metadata(ctx context.Context, name string, limit int64) ([]byte, error)
}

// Through brings blobs that are not here from somewhere else.
type Through interface {
	// Fetch returns nil when Blobs has d. Errors: kind NotFound when nobody has it.
	Fetch(ctx context.Context, d digest.Digest) error
	// Done returns how many bytes of d have come while it is being fetched.
	Done(d digest.Digest) int64
}

// Options are the settings of a handler. Blobs and Trust are needed.
type Options struct {
	Blobs    store.Opener
	Trust    Metadata
	Through  Through                        // asked for blobs that Blobs has not; nil = nobody is
	Offline  func(ctx context.Context) bool // whether Through is not asked now, which health tells; nil = it may be
	Stall    time.Duration                  // a client that takes no byte for so long is dropped; default 2 min
	Requests int                            // served at once, shared among clients, without those that wait for Through; default 512
	Wait     time.Duration                  // what more requests wait for their turn before they are told to come back; default 20 s
	Log      *slog.Logger                   // internal errors; default: nothing is logged
}

const (
	defaultStall    = 2 * time.Minute
	defaultRequests = 512
	defaultWait     = 20 * time.Second // less than a node waits for an answer
	metadataLimit   = 16 << 20         // bytes of one metadata file
	pathLimit       = 512
	retryAfter      = "5" // seconds
)

type handler struct {
	o      Options
	places *admission.Requests
}

// New returns the handler of /v1/. It is safe for concurrent use.
func New(o Options) http.Handler {
	if o.Stall <= 0 {
		o.Stall = defaultStall
	}
	if o.Requests <= 0 {
		o.Requests = defaultRequests
	}
	if o.Wait <= 0 {
		o.Wait = defaultWait
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return &handler{o: o, places: admission.NewRequests(o.Requests)}
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = httpx.IdleWriter(w, h.o.Stall)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	t := turn{h: h}
	defer t.end()
	err := t.begin(r.Context())
	if err == nil {
		err = h.serve(w, r, &t)
	}
	if err == nil {
		return
	}
	if errors.Is(err, errBusy) {
		w.Header().Set("Retry-After", retryAfter)
	}
	httpx.Errors{Form: httpx.JSON, Log: h.o.Log}.Write(w, r, err)
}

// turn is a request's place among those that are served at once.
type turn struct {
	h    *handler
	give func() // the place back; nil = it has none
}

// begin waits for a place. The error, when none is free in time, tells the client to come back.
func (t *turn) begin(ctx context.Context) error {
	end, ok := t.h.places.Enter(ctx, t.h.o.Wait)
	if !ok {
		return errBusy
	}
	t.give = end
	return nil
}

func (t *turn) end() {
	if t.give != nil {
		t.give()
	}
	t.give = nil
}

var errBusy = errs.Errorf(errs.Unavailable, "too many requests at once")

func (h *handler) serve(w http.ResponseWriter, r *http.Request, t *turn) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		err := errs.Errorf(errs.Invalid, "%.100s: only GET and HEAD are served", r.Method)
		return httpx.WithStatus(err, http.StatusMethodNotAllowed)
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
		return h.blob(w, r, t, d)
	}
	if name, ok := strings.CutPrefix(path, "/v1/trust/"); ok {
		return h.trust(w, r, name)
	}
	if path == "/v1/health" {
		return h.health(w, r)
	}
	return unknown(path)
}

func unknown(path string) error {
	return errs.Errorf(errs.NotFound, "no such thing: %.100s", path)
}

// health says that requests are answered, and whether only from what is here.
func (h *handler) health(w http.ResponseWriter, r *http.Request) error {
	body := "{\"status\":\"ok\"}\n"
	if h.o.Offline != nil && h.o.Offline(r.Context()) {
		body = "{\"status\":\"ok\",\"offline\":true}\n"
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body)
	return nil
}
