package registry

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/auth"
	"overland/internal/digest"
	"overland/internal/ecosystem/oci"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/registry"
)

// Mirrored are other registries whose images are pulled through this one: as HOST/NAME, or under the name alone by
// clients that say which registry they mean (containerd's query parameter ns).
type Mirrored struct {
	Getter   record.Getter
	Protocol *oci.Protocol
	// Unnamed is the one whose images are asked for under their names alone, as docker asks its mirrors, unless a
	// repository of ours begins like that; "" = none.
	Unnamed string
	Names   []string // by which clients reach this site, beside those that they say
}

// foreign is an image of another registry.
type foreign struct{ from, name string }

// foreign returns whose image is meant by name in r; ok = not one of ours. An error means that nobody's is: whoever asks
// for that of another registry is not given ours.
func (f *Face) foreign(r *http.Request, name registry.Name) (to foreign, ok bool, err error) {
	m := f.o.Mirrored
	if m == nil {
		return foreign{}, false, nil
	}
	ns := r.URL.Query().Get("ns")
	switch {
	case ns == "":
	case m.Protocol.Mirrors(ns):
		return foreign{ns, string(name)}, true, nil
	case ns != r.Host && !slices.Contains(m.Names, hostOf(ns)):
		return foreign{}, false, errs.Errorf(errs.NotFound, "the registry %.100q is not mirrored here", ns)
	}
	// Also for whoever says that this site is meant: nothing of ours is ever under another registry's name.
	from, rest, _ := strings.Cut(string(name), "/")
	if rest != "" && m.Protocol.Mirrors(from) {
		return foreign{from, rest}, true, nil
	}
	if ns != "" || m.Unnamed == "" || r.Method != http.MethodGet && r.Method != http.MethodHead || strings.Contains(from, ".") { // a host's name
		return foreign{}, false, nil
	}
	ours, err := f.r.Below(r.Context(), from)
	return foreign{m.Unnamed, string(name)}, !ours, err
}

func hostOf(name string) string {
	if host, _, err := net.SplitHostPort(name); err == nil {
		return host
	}
	return name
}

// mirrored answers for an image of another registry. It has a name here as any other: of that, clients have rights.
func (c *call) mirrored(w http.ResponseWriter, r *http.Request, noun string, to foreign) error {
	c.name = registry.Name(to.from + "/" + to.name)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		if err := c.allow(w, r, auth.Push); err != nil {
			return err
		}
		return registry.Mirrors(to.from)
	}
	if err := c.allow(w, r, auth.Pull); err != nil {
		return err
	}
	m, ref := c.f.o.Mirrored, c.rest[0]
	switch {
	case noun == "manifests":
		it, err := m.Protocol.Manifest(to.from, to.name, ref)
		if err != nil {
			return err
		}
		return c.foreignManifest(w, r, it, ref)
	case noun == "blobs" && len(c.rest) == 1:
		it, err := m.Protocol.Blob(to.from, to.name, ref)
		if err != nil {
			return err
		}
		return c.foreignBlob(w, r, it, ref)
	case noun == "tags" && ref == "list":
		return c.foreignTags(w, r, to)
	case noun == "referrers":
		return c.foreignReferrers(w, r, to, ref)
	}
	return errs.Errorf(errs.NotFound, "of %s, images alone are mirrored here", to.from)
}

// unserved gives an error of an item of another registry the code that clients know.
func unserved(err error, code registry.Code) error {
	if errs.KindOf(err) == errs.NotFound && registry.CodeOf(err) == "" {
		return registry.Unknown(code, err)
	}
	return err
}

// mostForeign is how many tags of a repository of another registry are listed.
const mostForeign = 100_000

// document returns the bytes of an item, which are not many; errs.NotFound for one that its registry does not have.
func (m *Mirrored) document(ctx context.Context, it record.Item) ([]byte, lockfile.Entry, error) {
	e, blob, err := m.Getter.Get(ctx, m.Protocol, it)
	if err == nil && !e.Exists() {
		err = record.Gone(e)
	}
	if err != nil {
		return nil, e, err
	}
	defer blob.Close()
	b, err := fsx.Read(blob, "manifest", registry.ManifestLimit)
	return b, e, err
}

// foreignTags answers with the tags of a repository, all of which are fetched: a registry may give fewer at once than it
// is asked for, or all of them again.
func (c *call) foreignTags(w http.ResponseWriter, r *http.Request, to foreign) error {
	n, err := limit(r.URL.Query())
	if err != nil {
		return err
	}
	end, err := c.f.place(r)
	if err != nil {
		return err
	}
	defer end()
	m, after := c.f.o.Mirrored, r.URL.Query().Get("last")
	var list []string
	for last := ""; len(list) < mostForeign; {
		it, err := m.Protocol.Tags(to.from, to.name, last)
		if err != nil {
			return err
		}
		b, _, err := m.document(r.Context(), it)
		if err != nil {
			return unserved(err, registry.NameUnknown)
		}
		page, err := oci.ReadTags(b)
		if err != nil {
			return err
		}
		page = slices.DeleteFunc(page, func(t string) bool { return t <= last })
		if len(page) == 0 {
			break
		}
		list, last = append(list, page...), page[len(page)-1]
	}
	list = slices.DeleteFunc(list, func(t string) bool { return t <= after })
	return c.listTags(w, r, list, n)
}

// foreignReferrers answers with what is about a manifest: as its registry says it, or, where that does not have the API, as
// the tag for it does.
func (c *call) foreignReferrers(w http.ResponseWriter, r *http.Request, to foreign, d string) error {
	end, err := c.f.place(r)
	if err != nil {
		return err
	}
	defer end()
	m := c.f.o.Mirrored
	var b []byte
	it, err := m.Protocol.Referrers(to.from, to.name, d)
	if err == nil {
		b, _, err = m.document(r.Context(), it)
	}
	if errs.KindOf(err) == errs.NotFound {
		if it, err = m.Protocol.Manifest(to.from, to.name, strings.Replace(d, ":", "-", 1)); err == nil {
			b, _, err = m.document(r.Context(), it)
		}
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	switch {
	case errs.KindOf(err) == errs.NotFound: // nothing is about it
	case err != nil:
		return err
	case oci.MediaType(b, "") != ocispec.MediaTypeImageIndex: // a tag that looks like one
	default:
		if err := json.Unmarshal(b, &index); err != nil {
			return errs.Errorf(errs.Unavailable, "referrers of %s: %w", d, err)
		}
	}
	if t := r.URL.Query().Get("artifactType"); t != "" {
		w.Header().Set("Oci-Filters-Applied", "artifactType")
		index.Manifests = slices.DeleteFunc(index.Manifests, func(m ocispec.Descriptor) bool { return m.ArtifactType != t })
	}
	return give(w, r, ocispec.MediaTypeImageIndex, index)
}

func (c *call) foreignManifest(w http.ResponseWriter, r *http.Request, it record.Item, ref string) error {
	end, err := c.f.place(r)
	if err != nil {
		return err
	}
	defer end()
	b, e, err := c.f.o.Mirrored.document(r.Context(), it)
	if err != nil {
		return unserved(err, registry.ManifestUnknown)
	}
	mediaType := oci.MediaType(b, e.MediaType)
	if mediaType == "" {
		return errs.Errorf(errs.Unavailable, "%s is not a manifest of a kind that is known here", it.Key)
	}
	d := string(digest.Of(b))
	if strings.Contains(ref, ":") {
		d = ref
	}
	h := w.Header()
	h.Set("Docker-Content-Digest", d)
	h.Set("Etag", `"`+d+`"`)
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(b)
	}
	return nil
}

// foreignBlob answers GET with the bytes while they come, and HEAD when all of them are here: a client that is told of
// a blob gets it.
func (c *call) foreignBlob(w http.ResponseWriter, r *http.Request, it record.Item, d string) error {
	m := c.f.o.Mirrored
	h := w.Header()
	h.Set("Docker-Content-Digest", d)
	var err error
	if r.Method == http.MethodGet {
		err = record.Give(w, r, m.Getter, m.Protocol, it, "")
	} else {
		err = c.whole(w, r, it)
	}
	if err != nil {
		h.Del("Docker-Content-Digest")
	}
	return unserved(err, registry.BlobUnknown)
}

// whole answers HEAD once all bytes of it are here.
func (c *call) whole(w http.ResponseWriter, r *http.Request, it record.Item) error {
	m := c.f.o.Mirrored
	e, blob, err := m.Getter.Get(r.Context(), m.Protocol, it)
	if err == nil && !e.Exists() {
		err = record.Gone(e)
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(e.Size, 10))
	h.Set("Accept-Ranges", "bytes")
	return blob.Close()
}
