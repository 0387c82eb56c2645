package release

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/store"
)

// empty is OCI's empty JSON blob: the config of manifests that are not container images.
var empty = ocispec.DescriptorEmptyJSON

// Closure returns the blobs of release d that a reader needs for only the artifacts that keep
// accepts: the index, the document and its manifest always; manifest, program and chunk list of
// each kept artifact, and of an image its config and layers. A nil keep keeps all. Blobs come in the order in which a reader meets
// them; the same blob may come twice.
func Closure(ctx context.Context, g Getter, d digest.Digest, keep func(Artifact) bool) ([]ocispec.Descriptor, error) {
	r, p, err := read(ctx, g, d)
	if err != nil {
		return nil, err
	}
	list := []ocispec.Descriptor{p.index, p.manifest, p.config, p.doc}
	for _, a := range r.Artifacts {
		if keep != nil && !keep(a) {
			continue
		}
		list = append(list, plain(a.Manifest))
		more := a.layers()
		if a.Kind == KindImage {
			if more, err = a.parts(ctx, g); err != nil {
				return nil, err
			}
		}
		list = append(list, more...)
	}
	return list, nil
}

// layers returns the descriptors of a's blobs: the program, then its chunk list.
func (a *Artifact) layers() []ocispec.Descriptor {
	list := []ocispec.Descriptor{{
		MediaType: TypeBinary, Digest: a.Blob.Digest, Size: a.Blob.Size,
		Annotations: map[string]string{ocispec.AnnotationTitle: a.File},
	}}
	if a.Blob.Chunks != "" {
		list = append(list, ocispec.Descriptor{
			MediaType: store.MediaTypeChunks, Digest: a.Blob.Chunks, Size: a.Blob.chunksSize(),
		})
	}
	return list
}

// chunksSize returns the length in bytes of b's chunk list.
func (b Blob) chunksSize() int64 {
	return (b.Size + store.ChunkSize - 1) / store.ChunkSize * digest.Size
}

// image returns the descriptor of the manifest of a, which is an image.
func (a *Artifact) image() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: a.Blob.Digest, Size: a.Blob.Size}
}

// Whole returns the length in bytes of all that a is: of an image its manifest, config and layers. It needs the
// manifest alone.
func (a *Artifact) Whole(ctx context.Context, g Getter) (int64, error) {
	n := a.Blob.Size
	if a.Kind != KindImage {
		return n, nil
	}
	list, err := a.parts(ctx, g)
	for _, d := range list {
		n += d.Size
	}
	return n, err
}

// parts returns the config and the layers of a, which is an image.
func (a *Artifact) parts(ctx context.Context, g Getter) ([]ocispec.Descriptor, error) {
	b, err := g.Bytes(ctx, a.Blob.Digest, maxJSON)
	if err != nil {
		return nil, err
	}
	list, err := store.Children(ocispec.MediaTypeImageManifest, b)
	for i := range list {
		list[i] = plain(list[i])
	}
	return list, err
}
