package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/auth"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/registry"
	"overland/internal/store"
)

const (
	page     = 1000 // names or descriptors in an answer that says nothing else
	mostTags = 64   // query parameters of one push
)

// manifests answers …/manifests/REFERENCE.
func (c *call) manifests(w http.ResponseWriter, r *http.Request) error {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	ref, err := registry.ParseReference(c.rest[0])
	if err != nil && reads {
		return httpx.WithStatus(err, http.StatusNotFound) // nothing has such a name
	}
	if err != nil {
		return err
	}
	switch {
	case reads:
		return c.getManifest(w, r, ref)
	case r.Method == http.MethodPut:
		return c.putManifest(w, r, ref)
	case r.Method == http.MethodDelete:
		if err := c.allow(w, r, auth.Delete); err != nil {
			return err
		}
		if err := c.f.r.RemoveManifest(r.Context(), c.name, ref); err != nil {
			return err
		}
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	return httpx.NotServed(w, "GET, HEAD, PUT, DELETE")
}

func (c *call) getManifest(w http.ResponseWriter, r *http.Request, ref registry.Reference) error {
	if err := c.allow(w, r, auth.Pull); err != nil {
		return err
	}
	m, err := c.f.r.Manifest(r.Context(), c.name, ref)
	if err != nil {
		return err
	}
	defer m.Close()
	h := w.Header()
	tag := `"` + string(m.Digest) + `"`
	h.Set("Docker-Content-Digest", string(m.Digest))
	h.Set("Etag", tag)
	if ref.Digest != "" {
		h.Set("Cache-Control", forever)
	}
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", m.MediaType)
	h.Set("Content-Length", strconv.FormatInt(m.Size(), 10))
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, m)
	}
	return nil
}

func (c *call) putManifest(w http.ResponseWriter, r *http.Request, ref registry.Reference) error {
	if err := c.allow(w, r, auth.Push); err != nil {
		return err
	}
	tags := r.URL.Query()["tag"]
	if len(tags) > mostTags {
		drain(r)
		return errs.Errorf(errs.Invalid, "%d tags, at most %d are taken", len(tags), mostTags)
	}
	end, err := c.f.place(r)
	if err != nil {
		return err
	}
	defer end()
	b, err := fsx.Read(r.Body, "manifest", registry.ManifestLimit)
	if errors.Is(err, store.ErrTooLarge) {
		return httpx.WithStatus(err, http.StatusRequestEntityTooLarge)
	}
	if err != nil {
		return errs.E(errs.Invalid, err)
	}
	pushed, err := c.f.r.Put(r.Context(), c.name, ref, tags, r.Header.Get("Content-Type"), b)
	if err != nil {
		return err
	}
	h := w.Header()
	for _, t := range tags {
		h.Add("Oci-Tag", t)
	}
	if pushed.Subject != "" {
		h.Set("Oci-Subject", string(pushed.Subject))
	}
	h.Set("Location", fmt.Sprintf("%s/%s/manifests/%s", Prefix, c.name, pushed.Digest))
	h.Set("Docker-Content-Digest", string(pushed.Digest))
	w.WriteHeader(http.StatusCreated)
	return nil
}

// limit returns how many lines the client wants, at most page.
func limit(q url.Values) (int, error) {
	s := q.Get("n")
	if s == "" {
		return page, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, errs.Errorf(errs.Invalid, "n=%.20q: a number", s)
	}
	return min(n, page), nil
}

// next links to what follows last in the list at path.
func next(w http.ResponseWriter, path, last string, n int, rest url.Values) {
	q := url.Values{"last": {last}, "n": {strconv.Itoa(n)}}
	for k, v := range rest {
		q[k] = v
	}
	w.Header().Set("Link", fmt.Sprintf("<%s?%s>; rel=\"next\"", path, q.Encode()))
}

func give(w http.ResponseWriter, r *http.Request, mediaType string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(b)
	}
	return nil
}

// tags answers …/tags/list.
func (c *call) tags(w http.ResponseWriter, r *http.Request) error {
	if c.rest[0] != "list" {
		return errs.Errorf(errs.NotFound, "nothing is served under this path")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return httpx.NotServed(w, "GET, HEAD")
	}
	if err := c.allow(w, r, auth.Pull); err != nil {
		return err
	}
	n, err := limit(r.URL.Query())
	if err != nil {
		return err
	}
	list, err := c.f.r.Tags(r.Context(), c.name, r.URL.Query().Get("last"), n+1)
	if err != nil {
		return err
	}
	return c.listTags(w, r, list, n)
}

// listTags answers with the first n tags of list, which are more if there are more.
func (c *call) listTags(w http.ResponseWriter, r *http.Request, list []string, n int) error {
	if len(list) > n {
		if list = list[:n]; n > 0 {
			next(w, fmt.Sprintf("%s/%s/tags/list", Prefix, c.name), list[n-1], n, nil)
		}
	}
	return give(w, r, "application/json", struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{string(c.name), append([]string{}, list...)})
}

// catalog answers /v2/_catalog: the repositories that the client may pull.
func (f *Face) catalog(w http.ResponseWriter, r *http.Request, who auth.Account) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return httpx.NotServed(w, "GET, HEAD")
	}
	n, err := limit(r.URL.Query())
	if err != nil {
		return err
	}
	found := []string{}
	for last := r.URL.Query().Get("last"); n > 0; {
		list, err := f.r.Repositories(r.Context(), last, page)
		if err != nil {
			return err
		}
		for _, name := range list {
			if last = name; !who.May(auth.Pull, name) {
				continue
			}
			if len(found) == n {
				next(w, Prefix+"/_catalog", found[n-1], n, nil)
				list = nil
				break
			}
			found = append(found, name)
		}
		if len(list) < page {
			break
		}
	}
	return give(w, r, "application/json", map[string][]string{"repositories": found})
}

// referrers answers …/referrers/DIGEST.
func (c *call) referrers(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return httpx.NotServed(w, "GET, HEAD")
	}
	if err := c.allow(w, r, auth.Pull); err != nil {
		return err
	}
	d, err := registry.ParseDigest(c.rest[0])
	if err != nil {
		return err
	}
	q := r.URL.Query()
	last := registry.Digest(q.Get("last"))
	if last != "" {
		if last, err = registry.ParseDigest(string(last)); err != nil {
			return err
		}
	}
	end, err := c.f.place(r)
	if err != nil {
		return err
	}
	defer end()
	list, more, err := c.f.r.Referrers(r.Context(), c.name, d, q.Get("artifactType"), last, page)
	if err != nil {
		return err
	}
	rest := url.Values{}
	if t := q.Get("artifactType"); t != "" {
		w.Header().Set("Oci-Filters-Applied", "artifactType")
		rest.Set("artifactType", t)
	}
	if more {
		next(w, fmt.Sprintf("%s/%s/referrers/%s", Prefix, c.name, d), string(list[len(list)-1].Digest), page, rest)
	}
	return give(w, r, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list,
	})
}
