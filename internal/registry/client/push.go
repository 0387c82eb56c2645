package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/image"
	"overland/internal/origin"
	"overland/internal/platform"
	"overland/internal/store"
)

// Options say how a registry is reached; the zero value works.
type Options struct {
	CA   []byte       // certificates in PEM that are believed beside the machine's
	Said func(string) // called with each name once the registry has it; nil = not called
	// Referrers are documents about the images, and about their index.
	Referrers []Referrer
}

// Referrer is the manifest of a document, in the depot, and what it is about.
type Referrer struct {
	ocispec.Descriptor
	Subject digest.Digest
}

// Pushed is a name that a registry has now.
type Pushed struct {
	Name     string            `json:"name"` // HOST:PORT/NAME:TAG
	Platform platform.Platform `json:"platform,omitempty"`
	Digest   digest.Digest     `json:"digest"`
}

// Push sends images, each of another platform, to the repository to, "HOST:PORT/NAME", as version and for
// each platform under a name of its own. Their blobs are in s, which gets the index. Errors: Invalid for a name that no
// registry has, Denied when the registry wants another login, Unavailable when it cannot be reached.
func Push(ctx context.Context, s store.Blobs, to, version string, images []ocispec.Descriptor, o Options) ([]Pushed, error) {
	repo, err := name.NewRepository(to)
	if err == nil {
		_, err = name.NewTag(to + ":" + version)
	}
	if host, _, _ := strings.Cut(to, "/"); err != nil || host != repo.RegistryStr() { // a name alone is some hub's for others
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "push to %.200q as %.100q: no registry has that name", to, version), "write it like HOST:PORT/staging/wallet")
	}
	round, err := o.transport()
	if err != nil {
		return nil, err
	}
	defer round.CloseIdleConnections()
	base := &url.URL{Scheme: "https", Host: repo.RegistryStr()}
	p := &push{ctx: ctx, s: s, host: repo.RegistryStr(), options: []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(private{origin.Led(round, base)}), remote.WithUserAgent("overland"),
	}}
	if o.Said == nil {
		o.Said = func(string) {}
	}
	desc, err := image.PutIndex(ctx, s, images, nil)
	if err != nil {
		return nil, err
	}
	done := []Pushed{}
	for _, m := range images {
		at := platform.FromOCI(m.Platform)
		tag := repo.Tag(version + "-" + Suffix(at))
		one, err := p.image(m)
		if err == nil {
			err = remote.Write(tag, one, p.options...)
		}
		if err != nil {
			return done, p.explain(tag, err)
		}
		done = append(done, Pushed{tag.String(), at, m.Digest})
		o.Said(tag.String())
	}
	if err := p.refer(repo, o.Referrers); err != nil {
		return done, err
	}
	tag := repo.Tag(version) // at last: it leads to all of them
	if err := remote.WriteIndex(tag, &index{push: p, desc: desc}, p.options...); err != nil {
		return done, p.explain(tag, err)
	}
	o.Said(tag.String())
	return append(done, Pushed{Name: tag.String(), Digest: desc.Digest}), nil
}

// Suffix returns what registries call platform p in names: arm32v6, arm64v8.
func Suffix(p platform.Platform) string {
	oci := p.OCI()
	switch oci.Architecture {
	case "arm":
		return "arm32" + oci.Variant
	case "arm64":
		return "arm64v8"
	}
	return oci.Architecture
}

func (o Options) transport() (*http.Transport, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if len(o.CA) > 0 && !pool.AppendCertsFromPEM(o.CA) {
		return nil, errs.Errorf(errs.Invalid, "the registry's certificate: not a certificate in PEM")
	}
	const shakes, answers = 30 * time.Second, 5 * time.Minute
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: shakes, ResponseHeaderTimeout: answers, ForceAttemptHTTP2: true,
	}, nil
}

// private is a transport that speaks plain HTTP with this machine alone: where TLS fails, ggcr tries it on private
// networks too, and whoever made TLS fail would be told the login.
type private struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (p private) RoundTrip(r *http.Request) (*http.Response, error) {
	host := r.URL.Hostname()
	if ip := net.ParseIP(host); r.URL.Scheme != "https" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, errs.Errorf(errs.Unavailable, "%s does not speak TLS with a certificate that is believed", r.URL.Host)
	}
	return p.RoundTripper.RoundTrip(r)
}

// push is one call of Push.
type push struct {
	ctx     context.Context //nolint:containedctx // of one call of Push
	s       store.Blobs
	host    string
	options []remote.Option
}

// explain returns err without what a registry has said beyond its own words, or a login.
func (p *push) explain(tag name.Reference, err error) error {
	what := "push " + tag.String()
	if p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	hint := "is " + p.host + " a registry, and does --ca hold its certificate?"
	var said *transport.Error
	if !errors.As(err, &said) {
		if k := errs.KindOf(err); k == errs.NotFound || k == errs.Untrusted { // the depot's
			return fmt.Errorf("%s: %w", what, err)
		}
		return errs.Hint(errs.Errorf(errs.Unavailable, "%s: %w", what, err), "%s", hint)
	}
	var words []string
	for _, d := range said.Errors {
		words = append(words, strings.TrimSpace(fmt.Sprintf("%.40s %.200q", d.Code, d.Message)))
	}
	text := httpx.WithoutLogins(strings.TrimSuffix(fmt.Sprintf("status %d: %s", said.StatusCode, strings.Join(words, ", ")), ": "))
	switch said.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return errs.Hint(errs.Errorf(errs.Denied, "%s: the registry refuses it, %s", what, text), "docker login %s, as an account that may push there", p.host)
	case http.StatusConflict:
		return errs.Errorf(errs.Conflict, "%s: %s", what, text)
	}
	return errs.Hint(errs.Errorf(errs.Unavailable, "%s: %s", what, text), "%s", hint)
}

// image returns the image whose manifest is desc.
func (p *push) image(desc ocispec.Descriptor) (v1.Image, error) {
	manifest, err := p.s.Bytes(p.ctx, desc.Digest, store.ManifestLimit)
	if err != nil {
		return nil, err
	}
	_, layers, err := image.Read(p.ctx, p.s, desc)
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&core{p, manifest, layers})
}

// core is an image as it lies in a depot.
type core struct {
	*push
	manifest []byte
	layers   []ocispec.Descriptor
}

func (*core) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func (c *core) RawManifest() ([]byte, error) { return c.manifest, nil }

func (c *core) RawConfigFile() ([]byte, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(c.manifest, &m); err != nil {
		return nil, err
	}
	return c.s.Bytes(c.ctx, m.Config.Digest, store.ManifestLimit)
}

func (c *core) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, l := range c.layers {
		if l.Digest.String() == h.String() {
			return &layer{c.push, l}, nil
		}
	}
	return nil, errs.Errorf(errs.NotFound, "the image has no layer %s", h)
}

// layer is a layer as it lies in a depot.
type layer struct {
	*push
	desc ocispec.Descriptor
}

func (l *layer) Digest() (v1.Hash, error)            { return v1.NewHash(l.desc.Digest.String()) }
func (l *layer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *layer) MediaType() (types.MediaType, error) { return types.MediaType(l.desc.MediaType), nil }

func (l *layer) Compressed() (io.ReadCloser, error) {
	b, err := l.s.Open(l.ctx, l.desc.Digest)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{digest.Reader(store.Once(b), l.desc.Digest, l.desc.Size), b}, nil
}

// index is the index of images as it lies in a depot.
type index struct {
	*push
	desc ocispec.Descriptor
}

func (*index) MediaType() (types.MediaType, error) { return types.OCIImageIndex, nil }
func (i *index) Digest() (v1.Hash, error)          { return v1.NewHash(i.desc.Digest.String()) }
func (i *index) Size() (int64, error)              { return i.desc.Size, nil }
func (i *index) RawManifest() ([]byte, error) {
	return i.s.Bytes(i.ctx, i.desc.Digest, store.ManifestLimit)
}

func (i *index) IndexManifest() (*v1.IndexManifest, error) {
	b, err := i.RawManifest()
	if err != nil {
		return nil, err
	}
	return v1.ParseIndexManifest(bytes.NewReader(b))
}

func (i *index) Image(h v1.Hash) (v1.Image, error) {
	return i.image(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(h.String())})
}

func (*index) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	return nil, errs.Errorf(errs.NotFound, "an index in an index: %s", h)
}
