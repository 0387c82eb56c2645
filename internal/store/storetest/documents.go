package storetest

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
)

// Documents makes manifests and indexes, and puts them into a store by Put.
type Documents struct {
	T   testing.TB
	Put func(b []byte) digest.Digest
}

// Blob stores text.
func (d Documents) Blob(text string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: "text/plain", Digest: d.Put([]byte(text)), Size: int64(len(text))}
}

// Document stores v as JSON.
func (d Documents) Document(mediaType string, v any) ocispec.Descriptor {
	d.T.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		d.T.Fatal(err)
	}
	desc := d.Blob(string(b))
	desc.MediaType = mediaType
	return desc
}

// Manifest stores the manifest of config and layers.
func (d Documents) Manifest(config ocispec.Descriptor, layers ...ocispec.Descriptor) ocispec.Descriptor {
	d.T.Helper()
	return d.Document(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers,
	})
}

// Index stores the index of list.
func (d Documents) Index(list ...ocispec.Descriptor) ocispec.Descriptor {
	d.T.Helper()
	return d.Document(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list,
	})
}
