package registry

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"overland/internal/admission"
	"overland/internal/auth"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/registry"
)

const forever = "private, max-age=31536000, immutable" // seconds: the bytes of a digest never change

// blobs answers …/blobs/DIGEST and …/blobs/uploads/[ID].
func (c *call) blobs(w http.ResponseWriter, r *http.Request) error {
	if c.rest[0] == "uploads" {
		return c.uploads(w, r, c.rest[1])
	}
	d, err := registry.ParseDigest(c.rest[0])
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return c.getBlob(w, r, d)
	case http.MethodDelete:
		if err := c.allow(w, r, auth.Delete); err != nil {
			return err
		}
		if err := c.f.r.RemoveBlob(r.Context(), c.name, d); err != nil {
			return err
		}
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	return httpx.NotServed(w, "GET, HEAD, DELETE")
}

func (c *call) getBlob(w http.ResponseWriter, r *http.Request, d registry.Digest) error {
	if err := c.allow(w, r, auth.Pull); err != nil {
		return err
	}
	// Whoever asks whether a blob is there, and may push, is about to push what points to it.
	b, err := c.f.r.Blob(r.Context(), c.name, d, r.Method == http.MethodHead && c.who.May(auth.Push, string(c.name)))
	if err != nil {
		return err
	}
	defer b.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", string(d))
	h.Set("Etag", `"`+string(d)+`"`)
	h.Set("Cache-Control", forever)
	httpx.OneRange(r.Header)
	defer admission.ConnOf(r.Context()).Bulk()()
	http.ServeContent(w, r, "", time.Time{}, b) // the blob itself, so that the kernel sends it
	return nil
}

// uploads answers …/blobs/uploads/ and …/blobs/uploads/ID.
func (c *call) uploads(w http.ResponseWriter, r *http.Request, id string) error {
	if err := c.allow(w, r, auth.Push); err != nil {
		return err
	}
	switch {
	case id == "" && r.Method == http.MethodPost:
		return c.begin(w, r)
	case id == "":
		return httpx.NotServed(w, "POST")
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		n, err := c.f.r.Offset(r.Context(), c.name, c.who.Name, id)
		if err != nil {
			return err
		}
		c.location(w, id, n, http.StatusNoContent)
		return nil
	case http.MethodPatch:
		n, err := c.write(w, r, id)
		if err != nil {
			return err
		}
		c.location(w, id, n, http.StatusAccepted)
		return nil
	case http.MethodPut:
		return c.finish(w, r, id)
	case http.MethodDelete:
		if err := c.f.r.Cancel(r.Context(), c.name, c.who.Name, id); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return httpx.NotServed(w, "GET, PATCH, PUT, DELETE")
}

// begin answers a POST: a blob of another repository is mounted, or one in the body is taken whole, or an upload begins.
func (c *call) begin(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if mount := q.Get("mount"); mount != "" {
		d, err := registry.ParseDigest(mount)
		if err != nil {
			return err
		}
		from := registry.Name("")
		if s := q.Get("from"); s != "" {
			if from, err = registry.ParseName(s); err != nil {
				return err
			}
		}
		may := func(n registry.Name) bool { return c.who.May(auth.Pull, string(n)) }
		there, err := c.f.r.Mount(r.Context(), c.name, from, d, may)
		if err != nil {
			return err
		}
		if there {
			c.created(w, d)
			return nil
		}
	}
	algorithm := q.Get("digest-algorithm")
	if d := q.Get("digest"); d != "" {
		parsed, err := registry.ParseDigest(d)
		if err != nil {
			return err
		}
		algorithm = parsed.Algorithm()
	}
	id, err := c.f.r.Begin(r.Context(), c.name, c.who.Name, algorithm)
	if err != nil {
		return err
	}
	if q.Get("digest") != "" {
		return c.finish(w, r, id)
	}
	c.location(w, id, 0, http.StatusAccepted)
	return nil
}

// write appends the body of r to the upload id. With an error that says that they do not follow, the client is told
// where to go on.
func (c *call) write(w http.ResponseWriter, r *http.Request, id string) (int64, error) {
	from, size := int64(-1), r.ContentLength
	if text := r.Header.Get("Content-Range"); text != "" {
		first, last, err := parseRange(text)
		if err != nil {
			return 0, err
		}
		if size >= 0 && size != last-first+1 {
			return 0, errs.Errorf(errs.Invalid, "Content-Range %.100q with %d bytes", text, size)
		}
		from, size = first, last-first+1
	}
	n, err := c.f.r.Write(r.Context(), c.name, c.who.Name, id, from, r.Body, size)
	if err != nil {
		c.where(w, id, n)
	}
	return n, err
}

// parseRange reads what clients write here as Content-Range: "FIRST-LAST", in some "bytes FIRST-LAST/SIZE".
func parseRange(s string) (first, last int64, err error) {
	text, _, _ := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	a, b, ok := strings.Cut(text, "-")
	first, err1 := strconv.ParseInt(a, 10, 64)
	last, err2 := strconv.ParseInt(b, 10, 64)
	if !ok || err1 != nil || err2 != nil || first < 0 || last < first || last == math.MaxInt64 {
		return 0, 0, errs.Errorf(errs.Invalid, "Content-Range %.100q: FIRST-LAST", s)
	}
	return first, last, nil
}

// finish takes what is left of the upload id from the body of r, and ends it.
func (c *call) finish(w http.ResponseWriter, r *http.Request, id string) error {
	d, err := registry.ParseDigest(r.URL.Query().Get("digest"))
	if err != nil {
		return err
	}
	if r.ContentLength != 0 {
		if _, err := c.write(w, r, id); err != nil {
			return err
		}
	}
	if err := c.f.r.Finish(r.Context(), c.name, c.who.Name, id, d); err != nil {
		return err
	}
	c.created(w, d)
	return nil
}

// created says that the repository has the blob d.
func (c *call) created(w http.ResponseWriter, d registry.Digest) {
	h := w.Header()
	h.Del("Range")
	h.Set("Location", fmt.Sprintf("%s/%s/blobs/%s", Prefix, c.name, d))
	h.Set("Docker-Content-Digest", string(d))
	w.WriteHeader(http.StatusCreated)
}

// location says where the upload id goes on, which has n bytes.
func (c *call) location(w http.ResponseWriter, id string, n int64, status int) {
	c.where(w, id, n)
	w.WriteHeader(status)
}

func (c *call) where(w http.ResponseWriter, id string, n int64) {
	h := w.Header()
	h.Set("Location", fmt.Sprintf("%s/%s/blobs/uploads/%s", Prefix, c.name, id))
	h.Set("Docker-Upload-Uuid", id)
	h.Set("Range", fmt.Sprintf("0-%d", max(n-1, 0)))
}

// drain reads what is left of a small body, so that its sender sees the answer.
func drain(r *http.Request) { _, _ = io.CopyN(io.Discard, r.Body, registry.ManifestLimit) }
