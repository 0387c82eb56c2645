package provenance

import (
	"context"
	"encoding/json"
	"fmt"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/image"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/store"
)

// Made is one bundle and what it is about.
type Made struct {
	Artifact string
	Platform platform.Platform  // "" = all, for the index of an image
	Subject  ocispec.Descriptor // of the artifact's manifest, or of an image's index
	Bundle   []byte
}

// What cosign reads of a referrer before it fetches it.
const (
	annotationContent   = "dev.sigstore.bundle.content"
	annotationPredicate = "dev.sigstore.bundle.predicateType"
)

// Referrer returns m as an OCI artifact about its subject.
func (m Made) Referrer() image.Referrer {
	return image.Referrer{
		Subject: m.Subject, Type: BundleType, Content: m.Bundle,
		Annotations: map[string]string{annotationContent: "dsse-envelope", annotationPredicate: PredicateType},
	}
}

// Write puts the bundles of release ref into depot s, in place of those that were there.
func Write(ctx context.Context, s store.Store, ref release.Ref, list []Made) error {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, m := range list {
		desc, err := image.PutReferrer(ctx, s, m.Referrer())
		if err != nil {
			return fmt.Errorf("provenance of %s: %w", ref, err)
		}
		desc.Annotations = map[string]string{release.AnnotationArtifact: m.Artifact}
		if m.Platform != "" {
			desc.Platform = m.Platform.OCI()
		}
		index.Manifests = append(index.Manifests, desc)
	}
	b, err := json.Marshal(index)
	if err != nil {
		return err
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Size: int64(len(b))}
	if desc.Digest, err = store.PutBytes(ctx, s, b); err == nil {
		err = s.Tag(ctx, release.ProvenanceTag(ref), desc)
	}
	if err != nil {
		return fmt.Errorf("provenance of %s: %w", ref, err)
	}
	return nil
}

// Read returns the bundles of release ref in depot s. Without any the error is of kind NotFound.
func Read(ctx context.Context, s store.Store, ref release.Ref) ([]Made, error) {
	desc, err := s.Resolve(ctx, release.ProvenanceTag(ref))
	if err != nil {
		return nil, err
	}
	b, err := s.Bytes(ctx, desc.Digest, store.ManifestLimit)
	if err != nil {
		return nil, err
	}
	list, err := store.Children(ocispec.MediaTypeImageIndex, b)
	if err != nil {
		return nil, err
	}
	out := make([]Made, 0, len(list))
	for _, d := range list {
		r, err := image.ReadReferrer(ctx, s, d, Limit)
		if err != nil {
			return nil, err
		}
		m := Made{Artifact: d.Annotations[release.AnnotationArtifact], Subject: r.Subject, Bundle: r.Content}
		if d.Platform != nil {
			m.Platform = platform.FromOCI(d.Platform)
		}
		out = append(out, m)
	}
	return out, nil
}
