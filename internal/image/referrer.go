package image

import (
	"context"
	"encoding/json"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/errs"
	"overland/internal/store"
)

// Referrer is a document about a manifest: an SBOM, a signed statement.
type Referrer struct {
	Subject     ocispec.Descriptor // of the manifest
	Type        string             // media type of Content, and so of the OCI artifact
	Content     []byte
	Annotations map[string]string // of the manifest that is written
}

// PutReferrer writes r into the depot as an OCI artifact of one layer, whose subject is what it is about, and returns the
// descriptor of its manifest as a list of referrers has it. Equal referrers give equal bytes.
func PutReferrer(ctx context.Context, s store.Blobs, r Referrer) (ocispec.Descriptor, error) {
	empty := ocispec.DescriptorEmptyJSON
	if _, err := store.PutBytes(ctx, s, empty.Data); err != nil {
		return ocispec.Descriptor{}, err
	}
	empty.Data = nil
	d, err := store.PutBytes(ctx, s, r.Content)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: r.Type, Config: empty,
		Layers:      []ocispec.Descriptor{{MediaType: r.Type, Digest: d, Size: int64(len(r.Content))}},
		Subject:     &ocispec.Descriptor{MediaType: r.Subject.MediaType, Digest: r.Subject.Digest, Size: r.Subject.Size},
		Annotations: r.Annotations,
	}
	desc, _, err := putJSON(ctx, s, ocispec.MediaTypeImageManifest, m)
	desc.ArtifactType, desc.Annotations = r.Type, r.Annotations
	return desc, err
}

// ReadReferrer returns what desc, the manifest of a referrer, says, its content at most limit bytes long.
func ReadReferrer(ctx context.Context, g store.Getter, desc ocispec.Descriptor, limit int64) (Referrer, error) {
	b, err := g.Bytes(ctx, desc.Digest, store.ManifestLimit)
	if err != nil {
		return Referrer{}, err
	}
	children, err := store.Children(ocispec.MediaTypeImageManifest, b)
	if err != nil {
		return Referrer{}, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Referrer{}, err
	}
	const parts = 2 // the empty config, the document
	if m.Subject == nil || len(children) != parts {
		return Referrer{}, errs.Errorf(errs.Untrusted, "%s is not one document about a manifest", desc.Digest)
	}
	r := Referrer{Subject: *m.Subject, Type: m.ArtifactType, Annotations: m.Annotations}
	r.Content, err = g.Bytes(ctx, children[1].Digest, limit)
	return r, err
}
