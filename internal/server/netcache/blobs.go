package netcache

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/netcache"
	"overland/internal/netcache/server"
)

const forever = "public,max-age=31556926" // seconds: the blob of a name never changes

// blob answers a request of the service shacache; name is what follows its path.
func (f *Face) blob(w http.ResponseWriter, r *http.Request, name string) error {
	switch {
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && name != "":
		return f.getBlob(w, r, name)
	case r.Method == http.MethodPost && name == updateName:
		return f.update(w, r)
	case r.Method == http.MethodPut && netcache.ValidName(name) && r.Header.Get("Content-Range") != "":
		return f.putPart(w, r, name)
	case r.Method == http.MethodPost && name == "", r.Method == http.MethodPut && netcache.ValidName(name):
		return f.putBlob(w, r, name)
	case r.Method == http.MethodPut:
		return errs.Errorf(errs.Invalid, "not the sha512 of a blob")
	case name == "":
		return errs.Errorf(errs.NotFound, "no blob is named")
	}
	return httpx.NotServed(w, "GET, HEAD, PUT")
}

func (f *Face) getBlob(w http.ResponseWriter, r *http.Request, name string) error {
	b, err := f.s.Blob(r.Context(), name, func(progress func() int64, do func() error) error {
		return httpx.Wait(w, r, progress, do)
	})
	if err != nil {
		return err
	}
	defer b.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", forever)
	h.Set("ETag", `"`+name+`"`)
	// It answers ranges, and a client may go away after the head.
	httpx.OneRange(r.Header)
	http.ServeContent(w, r, "", time.Time{}, b) // the blob itself, so that the kernel sends it
	return nil
}

func (f *Face) putBlob(w http.ResponseWriter, r *http.Request, want string) error {
	by, err := f.writer(r)
	if err != nil {
		return err
	}
	name, err := f.s.PutBlob(r.Context(), by, r.Body, want, r.ContentLength)
	if err != nil {
		return err
	}
	stored(w, name)
	return nil
}

// stored answers a write of the blob called name.
func stored(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(name)))
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, name)
}

// parsePart reads "Content-Range: bytes FROM-LAST/SIZE", or "bytes */SIZE", and
// "Repr-Digest: sha-256=:BASE64:".
func parsePart(h http.Header) (server.Part, error) {
	bad := func(name string) (server.Part, error) {
		return server.Part{}, errs.Errorf(errs.Invalid, "%s: %.100q", name, h.Get(name))
	}
	r, err := httpx.ParseRange(h.Get("Content-Range"))
	if err != nil || r.Size <= 0 || r.First >= 0 && r.Last != r.Size-1 { // a part goes to the end
		return bad("Content-Range")
	}
	p := server.Part{From: r.First, Size: r.Size}
	text, ok := strings.CutPrefix(h.Get("Repr-Digest"), "sha-256=:")
	text, ok2 := strings.CutSuffix(text, ":")
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || !ok2 || err != nil {
		return bad("Repr-Digest")
	}
	if p.Sum, err = digest.Parse("sha256:" + hex.EncodeToString(raw)); err != nil {
		return bad("Repr-Digest")
	}
	return p, nil
}

// putPart answers a PUT with a Content-Range: a part of an upload that goes on, or the
// question how much of it is there.
func (f *Face) putPart(w http.ResponseWriter, r *http.Request, name string) error {
	by, err := f.writer(r)
	if err != nil {
		return err
	}
	p, err := parsePart(r.Header)
	if err != nil {
		return err
	}
	control := http.NewResponseController(w)
	p.ID, p.Stop = r.Header.Get("Overland-Upload"), func() { _ = control.SetReadDeadline(time.Unix(1, 0)) }
	there, err := f.s.PutPart(r.Context(), by, r.Body, name, p)
	switch {
	case err != nil:
		return err
	case there < p.Size:
		if there > 0 {
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", there-1))
		}
		w.WriteHeader(http.StatusPermanentRedirect) // "resume incomplete", as other servers of such uploads say
	default:
		stored(w, name)
	}
	return nil
}
