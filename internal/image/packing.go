package image

import (
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/deflate"
	"overland/internal/zstd"
)

// Packing is how the layers of an image are packed.
type Packing string

// Gzip is what everybody reads. Zstd is shorter and faster, and docker does not read it before version 23.
const (
	Gzip Packing = ""
	Zstd Packing = "zstd"
)

// Encoder returns the name of what packs.
func (p Packing) Encoder() string {
	if p == Zstd {
		return zstd.Encoder
	}
	return deflate.Encoder
}

// MediaType returns the type of a layer that is packed so. There is none of docker's own for Zstd.
func (p Packing) MediaType() string {
	if p == Zstd {
		return ocispec.MediaTypeImageLayerZstd
	}
	return ocispec.MediaTypeImageLayerGzip
}

func (p Packing) writer(w io.Writer) (io.WriteCloser, error) {
	if p == Zstd {
		return zstd.New(w)
	}
	return deflate.NewGzip(w)
}
