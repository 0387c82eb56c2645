package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/store"
	"overland/internal/trust"
)

// blob sends a blob or one range of it. What a name stands for never changes, so
// an answer may be kept for ever.
func (h *handler) blob(w http.ResponseWriter, r *http.Request, t *turn, name string) error {
	d, err := digest.Parse(name)
	if err != nil {
		return errs.E(errs.Invalid, err)
	}
	b, err := h.o.Blobs.Open(r.Context(), d)
	if errs.KindOf(err) == errs.NotFound && h.o.Through != nil && !httpx.OnlyIfCached(r.Context()) {
		b, err = h.through(w, r, t, d)
	}
	if err != nil {
		return missing(err, string(d))
	}
	defer b.Close()
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	// Short: of a blob of 2 kB over a link that is reset every 20 kB, headers are a tenth. Whoever keeps
	// the answer knows the date, and nobody asks for it within a year.
	header["Date"] = nil
	header.Set("Cache-Control", "max-age=31536000")
	header.Set("ETag", `"1"`) // the only version that there will ever be
	httpx.OneRange(r.Header)
	if r.TLS != nil && r.Header.Get("Range") != "" {
		w = &shortWriter{w, http.NewResponseController(w), shortFirst}
	}
	http.ServeContent(w, r, "", time.Time{}, b) // the blob itself, so that the kernel sends it
	return nil
}

// through returns a blob that is fetched first. A request that waits for that does not
// count among those served at once.
func (h *handler) through(w http.ResponseWriter, r *http.Request, t *turn, d digest.Digest) (store.Blob, error) {
	t.end()
	err := httpx.Wait(w, r, func() int64 { return h.o.Through.Done(d) }, func() error {
		return h.o.Through.Fetch(r.Context(), d)
	})
	if err != nil {
		return nil, err
	}
	if err := t.begin(r.Context()); err != nil {
		return nil, err
	}
	return h.o.Blobs.Open(r.Context(), d)
}

// trust sends a metadata file as it is. Numbered files never change;
// timestamp.json is asked for again each time.
func (h *handler) trust(w http.ResponseWriter, r *http.Request, name string) error {
	if trust.CheckMetadataName(name) != nil {
		return unknown("/v1/trust/" + name)
	}
	b, err := h.o.Trust.Metadata(r.Context(), name, metadataLimit)
	if err != nil {
		return missing(err, name)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", `"`+string(digest.Of(b))+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	return nil
}

// missing gives err the kind NotFound when it says so.
func missing(err error, what string) error {
	if errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) == errs.NotFound {
		return errs.E(errs.NotFound, fmt.Errorf("%s: not here", what))
	}
	return err
}

// Sizes of what is written at once to a client that resumes: for the first bytes, and how many those are.
const (
	shortPiece = 1 << 10
	shortFirst = 64 << 10
)

// shortWriter is a ResponseWriter whose first bytes go out in short pieces. Each becomes a TLS record
// of its own: a link that is reset often loses the one that it cuts, and a client that resumes has such
// a link. Records grow by themselves, but so fast that a link reset every 20 kB loses a third.
type shortWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	left    int
}

func (s *shortWriter) Write(p []byte) (total int, err error) {
	for s.left > 0 && len(p) > 0 && err == nil {
		var n int
		n, err = s.ResponseWriter.Write(p[:min(len(p), shortPiece)])
		total, s.left, p = total+n, s.left-n, p[n:]
		_ = s.control.Flush() // a writer that knows none sends when it likes
	}
	if err != nil || len(p) == 0 {
		return total, err
	}
	n, err := s.ResponseWriter.Write(p)
	return total + n, err
}

// Unwrap serves http.ResponseController.
func (s *shortWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }
