package record

import (
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"overland/internal/httpx"
	"overland/internal/lockfile"
)

// serveWhole writes e, the answer to it, with its status and header, and the body of e.
func serveWhole(w http.ResponseWriter, r *http.Request, it Item, e lockfile.Entry, body io.ReadSeeker) {
	h := w.Header()
	maps.Copy(h, headerOf(e))
	// Ranges and conditions are answered here as the origin would: it was asked for the whole.
	if e.Status == http.StatusOK && it.Method == "" && h.Get("Content-Encoding") == "" {
		since, err := http.ParseTime(h.Get("Last-Modified"))
		if err != nil {
			since = noTime
		}
		r = r.Clone(r.Context())
		if !ranged(e) {
			r.Header.Del("Range")
			if h.Get("Accept-Ranges") == "" {
				w = unranged{w}
			}
		}
		httpx.OneRange(r.Header)
		http.ServeContent(w, r, "", since, body)
		return
	}
	if e.Status != http.StatusNoContent {
		h.Set("Content-Length", strconv.FormatInt(e.Size, 10))
	}
	w.WriteHeader(e.Status)
	if r.Method != http.MethodHead && e.Status != http.StatusNoContent {
		_, _ = io.Copy(w, body) // a client that gets less sees a short body
	}
}

// headerOf returns the header of the answer e.
func headerOf(e lockfile.Entry) http.Header {
	h := http.Header{}
	for _, line := range e.Header.Lines() {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", e.MediaType)
	}
	return h
}

// unranged is a ResponseWriter of a handler that would serve ranges, for an origin that does not.
type unranged struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (u unranged) WriteHeader(status int) {
	u.Header().Del("Accept-Ranges")
	u.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (u unranged) Unwrap() http.ResponseWriter { return u.ResponseWriter }
