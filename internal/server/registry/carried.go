package registry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/image"
	"overland/internal/platform"
	"overland/internal/registry"
	"overland/internal/registry/client"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/store/mem"
)

// Volume is the one file, as it is: nothing of it is unpacked.
type Volume interface {
	store.Getter
	// Open returns blob d from byte off on, and its whole length; an error that wraps fs.ErrNotExist when it has none.
	Open(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error)
}

// Carried answers clients of the distribution API with the images of releases in a volume: each is called APP/IMAGE, with the
// release's version as its tag, and as VERSION-arm32v6 for one platform. Nothing can be pushed.
type Carried struct {
	v     Volume
	repos map[string]*carried
}

// carried is a repository.
type carried struct {
	tags      map[string]digest.Digest
	manifests map[digest.Digest]document
	blobs     map[digest.Digest]bool
}

// document is a manifest or an index.
type document struct {
	mediaType string
	bytes     []byte
}

// NewCarried returns the images of releases, whose blobs are in v.
func NewCarried(ctx context.Context, v Volume, releases []*release.Release) (*Carried, error) {
	c := &Carried{v, map[string]*carried{}}
	for _, r := range releases {
		images := map[string][]ocispec.Descriptor{}
		for _, a := range r.Artifacts {
			if a.Kind == release.KindImage {
				images[a.Name] = append(images[a.Name], ocispec.Descriptor{
					MediaType: ocispec.MediaTypeImageManifest, Digest: a.Blob.Digest, Size: a.Blob.Size, Platform: a.Platform.OCI(),
				})
			}
		}
		for name, list := range images {
			if err := c.add(ctx, path.Join(r.App, name), r.Version, list); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// add adds an image, whose manifests are list, to the repository called name.
func (c *Carried) add(ctx context.Context, name, version string, list []ocispec.Descriptor) error {
	if _, err := registry.ParseName(name); err != nil {
		return err
	}
	repo := c.repos[name]
	if repo == nil {
		repo = &carried{map[string]digest.Digest{}, map[digest.Digest]document{}, map[digest.Digest]bool{}}
		c.repos[name] = repo
	}
	var here []ocispec.Descriptor
	for _, m := range list {
		b, err := c.v.Bytes(ctx, m.Digest, registry.ManifestLimit)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the volume was sealed for other platforms
		}
		var parts []ocispec.Descriptor
		if err == nil {
			parts, err = store.Children(m.MediaType, b)
		}
		if err != nil {
			return err
		}
		here = append(here, m)
		repo.tags[version+"-"+client.Suffix(platform.FromOCI(m.Platform))] = m.Digest
		repo.manifests[m.Digest] = document{m.MediaType, b}
		for _, d := range parts {
			repo.blobs[d.Digest] = true
		}
	}
	if len(here) == 0 {
		return nil
	}
	var s mem.Store
	index, err := image.PutIndex(ctx, &s, here, nil) // of all platforms, these are the bytes that image push sends
	if err != nil {
		return err
	}
	b, err := s.Bytes(ctx, index.Digest, registry.ManifestLimit)
	repo.tags[version], repo.manifests[index.Digest] = index.Digest, document{index.MediaType, b}
	return err
}

// Images returns what can be pulled, as NAME:TAG, sorted.
func (c *Carried) Images() (list []string) {
	for name, repo := range c.repos {
		for tag := range repo.tags {
			list = append(list, name+":"+tag)
		}
	}
	slices.Sort(list)
	return list
}

func (c *Carried) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if err := c.answer(w, r); err != nil {
		(&Face{}).fail(w, r, err)
	}
}

func (c *Carried) answer(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return httpx.NotServed(w, "GET, HEAD")
	}
	at := strings.Trim(strings.TrimPrefix(r.URL.EscapedPath(), Prefix), "/")
	switch at {
	case "":
		return give(w, r, "application/json", struct{}{})
	case "_catalog":
		return give(w, r, "application/json", map[string][]string{"repositories": slices.Sorted(maps.Keys(c.repos))})
	}
	parts := strings.Split(at, "/")
	if len(parts) < 3 { // NAME, a noun and what it is of
		return errs.Errorf(errs.NotFound, "nothing is served under this path")
	}
	name, noun, ref := strings.Join(parts[:len(parts)-2], "/"), parts[len(parts)-2], parts[len(parts)-1]
	repo := c.repos[name]
	if repo == nil {
		return errs.Errorf(errs.NotFound, "there is no repository %.100q", name)
	}
	switch {
	case noun == "tags" && ref == "list":
		return give(w, r, "application/json", map[string]any{"name": name, "tags": slices.Sorted(maps.Keys(repo.tags))})
	case noun == "manifests":
		return repo.manifest(w, r, ref)
	case noun == "blobs" && repo.blobs[digest.Digest(ref)]:
		return c.blob(w, r, digest.Digest(ref))
	case noun == "blobs":
		return registry.Unknown(registry.BlobUnknown, errs.Errorf(errs.NotFound, "blob %.100q is not in this repository", ref))
	}
	return errs.Errorf(errs.NotFound, "nothing is served under this path")
}

func (repo *carried) manifest(w http.ResponseWriter, r *http.Request, ref string) error {
	d, ok := repo.tags[ref]
	if !ok {
		d = digest.Digest(ref)
	}
	m, ok := repo.manifests[d]
	if !ok {
		return registry.Unknown(registry.ManifestUnknown, errs.Errorf(errs.NotFound, "manifest %.100q is not in this repository", ref))
	}
	h := w.Header()
	h.Set("Docker-Content-Digest", string(d))
	h.Set("Content-Type", m.mediaType)
	h.Set("Content-Length", strconv.Itoa(len(m.bytes)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(m.bytes)
	}
	return nil
}

func (c *Carried) blob(w http.ResponseWriter, r *http.Request, d digest.Digest) error {
	in := &window{ctx: r.Context(), v: c.v, d: d}
	defer in.Close()
	if err := in.open(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = registry.Unknown(registry.BlobUnknown, err)
		}
		return err
	}
	h := w.Header()
	h.Set("Docker-Content-Digest", string(d))
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Etag", `"`+string(d)+`"`)
	httpx.OneRange(r.Header)
	http.ServeContent(w, r, "", time.Time{}, in)
	return nil
}

// window is a blob of a volume, opened anew where it is read on.
type window struct {
	ctx  context.Context //nolint:containedctx // of one request
	v    Volume
	d    digest.Digest
	in   io.ReadCloser // nil = not open
	size int64
	off  int64
}

func (b *window) open() (err error) {
	if b.in == nil {
		b.in, b.size, err = b.v.Open(b.ctx, b.d, b.off)
	}
	return err
}

func (b *window) Close() (err error) {
	if b.in != nil {
		err, b.in = b.in.Close(), nil
	}
	return err
}

func (b *window) Read(p []byte) (int, error) {
	if err := b.open(); err != nil {
		return 0, err
	}
	n, err := b.in.Read(p)
	b.off += int64(n)
	return n, err
}

// Seek implements io.Seeker for http.ServeContent, which asks where the end is.
func (b *window) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += b.off
	case io.SeekEnd:
		off += b.size
	}
	if off != b.off {
		b.off = off
		return off, b.Close()
	}
	return off, nil
}
