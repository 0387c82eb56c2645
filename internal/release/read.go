package release

import (
	"context"
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/platform"
)

// Media types and annotations of a release's blobs. The index is marked by an annotation
// and has no artifactType: skopeo 1.9 (Debian 12) drops that field when it copies, and
// with it the digest that is signed.
const (
	TypeRelease = "application/vnd.overland.release.v1+json" // the document; also its manifest's artifactType
	TypeBinary  = "application/vnd.overland.binary.v1"       // a raw program

	AnnotationRelease  = "dev.overland.release"  // "1", on the index and on the document's manifest in it
	AnnotationArtifact = "dev.overland.artifact" // the artifact's name, on its manifest in the index
)

// Getter returns small blobs, verified: a depot, a volume, a fetcher.
type Getter interface {
	Bytes(ctx context.Context, d digest.Digest, limit int64) ([]byte, error)
}

// marked is the value of AnnotationRelease.
const marked = "1"

// maxJSON is the longest index, manifest or document that is read, in bytes.
const maxJSON = 1 << 20

// Read returns the release whose OCI index is blob d. It reads three blobs through g
// (index, the document's manifest, document), each verified by g and at most 1 MiB. A blob
// that is not a release, or one that a node must not act on, is an error of kind
// Untrusted; errors of g pass through.
func Read(ctx context.Context, g Getter, d digest.Digest) (*Release, error) {
	r, _, err := read(ctx, g, d)
	return r, err
}

func read(ctx context.Context, g Getter, d digest.Digest) (*Release, *parts, error) {
	b, err := g.Bytes(ctx, d, maxJSON)
	if err != nil {
		return nil, nil, fmt.Errorf("read release %s: %w", d, err)
	}
	p := &parts{index: describe(ocispec.MediaTypeImageIndex, b)}
	var index ocispec.Index
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, nil, refuse(d, err)
	}
	if index.Annotations[AnnotationRelease] != marked || index.SchemaVersion != 2 {
		return nil, nil, refuse(d, fmt.Errorf("not marked as a release of form %s", marked))
	}
	if err := p.document(ctx, g, index); err != nil {
		return nil, nil, fmt.Errorf("read release %s: %w", d, err)
	}
	r, err := Parse(p.json)
	if err != nil {
		return nil, nil, refuse(d, err)
	}
	if err := r.link(index); err != nil {
		return nil, nil, refuse(d, err)
	}
	return r, p, nil
}

// Parse returns the release document in b. Anything that a node must not act on is an error.
func Parse(b []byte) (*Release, error) {
	if len(b) > maxJSON {
		return nil, fmt.Errorf("release document: longer than %d bytes", maxJSON)
	}
	var r Release
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("release document: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("release document: %w", err)
	}
	return &r, nil
}

// parts are the blobs of a release that are there whatever the platform.
type parts struct {
	index, manifest, config, doc ocispec.Descriptor
	json                         []byte
}

func (p *parts) document(ctx context.Context, g Getter, index ocispec.Index) error {
	for _, m := range index.Manifests {
		if m.Annotations[AnnotationRelease] == marked {
			if p.manifest.Digest != "" {
				return errs.Errorf(errs.Untrusted, "two release documents")
			}
			p.manifest = plain(m)
		}
	}
	if err := bounded(p.manifest); err != nil {
		return errs.E(errs.Untrusted, fmt.Errorf("release document's manifest: %w", err))
	}
	b, err := g.Bytes(ctx, p.manifest.Digest, maxJSON)
	if err != nil {
		return err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return errs.E(errs.Untrusted, err)
	}
	if len(m.Layers) != 1 || m.Layers[0].MediaType != TypeRelease {
		return errs.Errorf(errs.Untrusted, "release document's manifest: not one document")
	}
	p.config, p.doc = plain(m.Config), plain(m.Layers[0])
	if err := bounded(p.doc); err != nil {
		return errs.E(errs.Untrusted, fmt.Errorf("release document: %w", err))
	}
	if p.config.Digest != empty.Digest {
		return errs.Errorf(errs.Untrusted, "release document's manifest: config %.100q", string(p.config.Digest))
	}
	p.json, err = g.Bytes(ctx, p.doc.Digest, maxJSON)
	return err
}

// link fills the artifacts' Manifest from index, which must have exactly one for each.
func (r *Release) link(index ocispec.Index) error {
	type key struct {
		name string
		p    platform.Platform
	}
	found := make(map[key]ocispec.Descriptor)
	for _, m := range index.Manifests {
		if m.Annotations[AnnotationRelease] == marked {
			continue
		}
		k := key{m.Annotations[AnnotationArtifact], platform.FromOCI(m.Platform)}
		if _, twice := found[k]; twice {
			return fmt.Errorf("artifact %.100q for %.100q: two manifests", k.name, string(k.p))
		}
		if err := bounded(m); err != nil {
			return fmt.Errorf("artifact %.100q for %.100q: %w", k.name, string(k.p), err)
		}
		found[k] = m
	}
	if len(found) != len(r.Artifacts) {
		return fmt.Errorf("%d artifact manifests for %d artifacts", len(found), len(r.Artifacts))
	}
	for i, a := range r.Artifacts {
		m, ok := found[key{a.Name, a.Platform}]
		if !ok {
			return fmt.Errorf("artifact %s for %s: no manifest", a.Name, a.Platform)
		}
		if a.Kind == KindImage && m.Digest != a.Blob.Digest {
			return fmt.Errorf("image %s for %s: another manifest than its own", a.Name, a.Platform)
		}
		r.Artifacts[i].Manifest = m
	}
	return nil
}

func bounded(d ocispec.Descriptor) error {
	if _, err := digest.Parse(string(d.Digest)); err != nil {
		return err
	}
	if d.Size <= 0 || d.Size > maxJSON {
		return fmt.Errorf("%s: size %d", d.Digest, d.Size)
	}
	return nil
}

// plain returns d with only what names the blob.
func plain(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

func describe(mediaType string, b []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.Of(b), Size: int64(len(b))}
}

func refuse(d digest.Digest, err error) error {
	return errs.E(errs.Untrusted, fmt.Errorf("%s is not a release that can be used: %w", d, err))
}
