package changes

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/archive"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/store"
)

// Limits of one layer, which somebody else may have made.
const (
	membersLimit = 2_000_000
	bytesLimit   = 64 << 30
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

// filesOf returns what a, an image or a tar, holds; nil when it is neither.
func filesOf(ctx context.Context, b inspect.Blobs, a release.Artifact) (tree, error) {
	t := tree{}
	if a.Kind != release.KindImage {
		if err := t.blob(ctx, b, a.Blob.Digest); err != nil {
			return nil, ctx.Err() // a program, or another file
		}
		return t, nil
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
		if err := t.blob(ctx, b, layer.Digest); err != nil {
			return nil, fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
	}
	return t, nil
}

// blob lays the tar d, packed or not, over t.
func (t tree) blob(ctx context.Context, b inspect.Blobs, d digest.Digest) error {
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
	r := archive.NewTar(in, archive.Bounds{Members: membersLimit, Bytes: bytesLimit})
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = t.member(h, r)
		}
		if err != nil {
			return errs.E(errs.Invalid, err)
		}
	}
}

const (
	whiteout   = ".wh." // before the name of a file that a layer removes
	opaque     = ".wh..wh..opq"
	capability = "SCHILY.xattr.security.capability"
)

func (t tree) member(h *tar.Header, r io.Reader) error {
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	dir, base := path.Split(name)
	switch {
	case name == "":
		return nil
	case base == opaque:
		t.remove(strings.TrimSuffix(dir, "/"), false)
		return nil
	case strings.HasPrefix(base, whiteout):
		t.remove(dir+strings.TrimPrefix(base, whiteout), true)
		return nil
	}
	if h.Typeflag != tar.TypeDir {
		t.remove(name, true)
	}
	f := File{Mode: h.FileInfo().Mode().String(), Owner: fmt.Sprintf("%d:%d", h.Uid, h.Gid), Link: h.Linkname}
	if c := h.PAXRecords[capability]; c != "" {
		f.Capabilities = fmt.Sprintf("%x", c)
	}
	if h.Typeflag == tar.TypeReg {
		sum := digest.New()
		n, err := io.Copy(sum, r)
		if err != nil {
			return err
		}
		f.Size, f.Digest = n, sum.Digest()
	}
	t[name] = f
	return nil
}

// remove forgets what is below name; self = name too.
func (t tree) remove(name string, self bool) {
	if f, ok := t[name]; ok && !strings.HasPrefix(f.Mode, "d") {
		if self {
			delete(t, name)
		}
		return // there is nothing below a file: most names of a layer end here
	} else if !ok && self && name != "" {
		return
	}
	for one := range t {
		if self && one == name || name == "" || strings.HasPrefix(one, name+"/") {
			delete(t, one)
		}
	}
}
