package flat

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/archive"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
)

// Layer is one layer of an image, as its manifest and its config name it.
type Layer struct {
	ocispec.Descriptor
	DiffID digest.Digest // of the tar that is packed in it
}

// Root is the folder below the one that Make makes, with the files.
const Root = "root"

// maxLeft is how many names Make returns of what it left out.
const maxLeft = 20

// bounds are those of all layers together: archive.RootBounds, and 200 bytes for one beyond the first 64 MiB of each.
func bounds(packed func() int64) archive.Bounds {
	b := archive.RootBounds
	b.Ratio, b.Free, b.Packed = 200, 64<<20, packed
	return b
}

// Make makes the folder dir of layers, the lowest first, and returns the names of what it left out, the first 20.
// A layer that is not what its digests say, or that no root can be made of, is errs.Untrusted; a dir that is
// there is errs.Conflict. Only root can give files to their owners: for others it is errs.Denied. Of several
// calls for one dir at once the caller lets through one.
func Make(ctx context.Context, disk fsx.FS, blobs store.Opener, layers []Layer, dir string) (left []string, err error) {
	if os.Geteuid() != 0 {
		return nil, errs.Hint(errs.Errorf(errs.Denied, "the files of an image belong to many users"), "run it as root")
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Errorf(errs.Conflict, "%s exists already", dir)
	}
	temp := dir + ".tmp"
	if err := disk.RemoveAll(temp); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fsx.Full(errors.Join(err, disk.RemoveAll(temp)))
		}
	}()
	if err := disk.Mkdir(temp, 0o700); err != nil {
		return nil, err
	}
	if left, err = unpack(ctx, blobs, layers, filepath.Join(temp, Root)); err != nil {
		return nil, err
	}
	if err := disk.Flush(temp); err != nil {
		return nil, err
	}
	if err := disk.Rename(temp, dir); err != nil {
		return nil, err
	}
	return left, disk.SyncDir(filepath.Dir(dir))
}

// unpack makes the folder at of layers.
func unpack(ctx context.Context, blobs store.Opener, layers []Layer, at string) ([]string, error) {
	if err := os.Mkdir(at, folderMode); err != nil {
		return nil, err
	}
	if err := os.Chmod(at, folderMode); err != nil { // whatever the umask is
		return nil, err
	}
	root, err := os.OpenRoot(at)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	t := tree{root: root}
	for _, l := range layers {
		if err := t.layer(ctx, blobs, l); err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.Digest, err)
		}
	}
	return t.left, nil
}

// layer lays l over t.
func (t *tree) layer(ctx context.Context, blobs store.Opener, l Layer) error {
	blob, err := blobs.Open(ctx, l.Digest)
	if err != nil {
		return err
	}
	defer blob.Close()
	packed, sum, diff := &counted{r: store.Once(blob)}, digest.New(), digest.New()
	plain, err := unpacked(io.TeeReader(packed, sum), l.MediaType)
	if err != nil {
		return packed.judge(err)
	}
	t.fresh, t.held = map[string]bool{}, 0
	var own error // not the fault of what is read
	err = t.layers.Layer(ctx, io.TeeReader(plain, diff), bounds(func() int64 { return packed.n }), func(h *header, in io.Reader) error {
		body := &counted{r: in}
		err := t.member(h, body)
		if body.failed == nil {
			own = err
		}
		return err
	})
	switch {
	case err == nil:
		return errors.Join(same(sum, l.Digest), same(diff, l.DiffID))
	case ctx.Err() != nil:
		return ctx.Err()
	case own != nil:
		return own
	}
	return packed.judge(err)
}

// unpacked returns a reader of the tar in r.
func unpacked(r io.Reader, mediaType string) (io.Reader, error) {
	switch mediaType {
	case ocispec.MediaTypeImageLayer:
		return r, nil
	case ocispec.MediaTypeImageLayerGzip, "application/vnd.docker.image.rootfs.diff.tar.gzip":
		return gzip.NewReader(r)
	}
	return nil, errs.Hint(errs.Errorf(errs.Invalid, "its type is %.100q, which nodes do not unpack", mediaType), "pack the layers of the image with gzip")
}

// same returns an error unless what was hashed is want.
func same(sum digest.Hasher, want digest.Digest) error {
	if got := sum.Digest(); got != want {
		return errs.Errorf(errs.Untrusted, "%w: it is %s, not %s", digest.ErrMismatch, got, want)
	}
	return nil
}

// counted counts what is read of r, and keeps its error.
type counted struct {
	r      io.Reader
	n      int64
	failed error
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.failed = err
	}
	return n, err
}

// judge returns err, which unpacking what c reads came to: a disk that cannot be read is not the layer's fault.
func (c *counted) judge(err error) error {
	switch {
	case c.failed != nil:
		return c.failed
	case errs.KindOf(err) != errs.Internal:
		return err
	}
	return errs.E(errs.Untrusted, err)
}
