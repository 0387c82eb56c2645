package image

import (
	"context"
	"encoding/json"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/builder"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/image"
	"overland/internal/store"
)

// packed is a note of the layer that a tar became.
type packed struct {
	Encoder string        `json:"encoder"`
	Tar     digest.Digest `json:"tar"`
	Layer   digest.Digest `json:"layer"`
	Size    int64         `json:"size"` // bytes
}

const maxNote = 4 << 10 // bytes

// base returns the layer of the root file system of, which is packed once in each way.
func (b *Builder) base(ctx context.Context, of builder.Built, as image.Packing) (image.Made, error) {
	name := of.Digest.Encoded()
	if as != image.Gzip {
		name += "." + string(as)
	}
	note := filepath.Join(b.o.Cache, name+".json")
	if made, ok := b.noted(ctx, note, of.Digest, as); ok {
		return made, nil
	}
	blob, err := b.o.Store.Open(ctx, of.Digest)
	if err != nil {
		return image.Made{}, err
	}
	defer blob.Close()
	made, err := as.PutTar(ctx, b.o.Store, store.Once(blob))
	if err != nil {
		return made, err
	}
	if made.DiffID != of.Digest {
		return made, errs.Errorf(errs.Untrusted, "its bytes are %s: %w", made.DiffID, digest.ErrMismatch)
	}
	text, err := json.Marshal(packed{as.Encoder(), of.Digest, made.Digest, made.Size})
	if err != nil {
		return made, err
	}
	const folder, file = 0o755, 0o644
	if err := b.o.FS.Mkdir(b.o.Cache, folder); err != nil {
		return made, err
	}
	return made, b.o.FS.WriteFile(note, append(text, '\n'), file)
}

// noted returns the layer that a note names, if that is in the depot.
func (b *Builder) noted(ctx context.Context, note string, tar digest.Digest, as image.Packing) (image.Made, bool) {
	text, err := fsx.ReadFile(note, maxNote)
	var p packed
	if err != nil || json.Unmarshal(text, &p) != nil || p.Encoder != as.Encoder() || p.Tar != tar {
		return image.Made{}, false
	}
	if _, err := digest.Parse(string(p.Layer)); err != nil {
		return image.Made{}, false
	}
	if there, err := store.HasSize(ctx, b.o.Store, p.Layer, p.Size); err != nil || !there || p.Size <= 0 {
		return image.Made{}, false
	}
	return image.Made{
		Descriptor: ocispec.Descriptor{MediaType: as.MediaType(), Digest: p.Layer, Size: p.Size}, DiffID: tar,
	}, true
}
