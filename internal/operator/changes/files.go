package changes

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"maps"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/archive"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/store"
)

// File is what a root has under one name.
type File struct {
	Size  int64  `json:"size"` // bytes
	Mode  string `json:"mode"` // "-rwsr-xr-x"
	Owner string `json:"owner"`
	Link  string `json:"link,omitempty"` // where it leads
	// Capabilities are those of the file, as security.capability has them, in hexadecimal digits.
	Capabilities string        `json:"capabilities,omitempty"`
	Digest       digest.Digest `json:"digest,omitempty"` // of a regular file's content
}

// tree is a root file system: its files by name, without a "/" in front.
type tree map[string]File

// root is a tree on its way.
type root struct{ files archive.Layered[File] }

// filesOf returns what a, an image or a tar, holds; nil when it is neither.
func filesOf(ctx context.Context, b inspect.Blobs, a release.Artifact) (tree, error) {
	r := &root{}
	if a.Kind != release.KindImage {
		if err := r.blob(ctx, b, a.Blob.Digest); err != nil {
			return nil, ctx.Err() // a program, or another file
		}
		return r.tree(), nil
	}
	manifest, err := b.Bytes(ctx, a.Blob.Digest, store.ManifestLimit)
	if err != nil {
		return nil, err
	}
	children, err := store.Children(ocispec.MediaTypeImageManifest, manifest)
	if err != nil {
		return nil, err
	}
	for _, layer := range children[1:] { // the first is the config
		if err := r.blob(ctx, b, layer.Digest); err != nil {
			return nil, fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
	}
	return r.tree(), nil
}

func (r *root) tree() tree { return maps.Collect(r.files.All) }

// blob lays the tar d, packed or not, over r.
func (r *root) blob(ctx context.Context, b inspect.Blobs, d digest.Digest) error {
	section, closer, err := b.Section(ctx, d)
	if err != nil {
		return err
	}
	defer closer.Close()
	in, done, err := archive.Unpacked(section)
	if err != nil {
		return errs.E(errs.Invalid, err)
	}
	defer done()
	return errs.E(errs.Invalid, r.files.Layer(ctx, in, archive.RootBounds, r.member))
}

const capability = "SCHILY.xattr.security.capability"

func (r *root) member(h *tar.Header, in io.Reader) error {
	name, put := r.files.Lay(h.Name, h.Typeflag == tar.TypeDir)
	if !put {
		return nil
	}
	const longest = 4096 // bytes; Linux has no longer ones
	if len(h.Linkname) > longest || len(h.PAXRecords[capability]) > longest {
		return fmt.Errorf("%w: a link of %d bytes", archive.ErrBomb, len(h.Linkname))
	}
	f := File{Mode: h.FileInfo().Mode().String(), Owner: fmt.Sprintf("%d:%d", h.Uid, h.Gid), Link: h.Linkname}
	if c := h.PAXRecords[capability]; c != "" {
		f.Capabilities = fmt.Sprintf("%x", c)
	}
	if h.Typeflag == tar.TypeReg {
		sum := digest.New()
		n, err := io.Copy(sum, in)
		if err != nil {
			return err
		}
		f.Size, f.Digest = n, sum.Digest()
	}
	return r.files.Set(name, f)
}
