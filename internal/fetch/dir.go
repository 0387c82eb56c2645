package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
)

// DirSource is a depot directory: a mirror, a stick, a site's or another node's folder. It is a
// Source and has the method of a trust.MetadataSource. Nothing outside of the directory is
// read, whatever links are in it.
type DirSource struct{ name, blobs, trust string }

// Dir returns the depot at path, with its metadata in path/trust. A directory that holds
// the depot in a folder "depot" (a site's, a node's) will do as well. Errors:
// fs.ErrNotExist when there is no depot.
func Dir(path string) (*DirSource, error) {
	for _, depot := range []string{".", "depot"} {
		info, err := os.Stat(filepath.Join(path, depot, "blobs", "sha256"))
		if err == nil && info.IsDir() {
			return &DirSource{name: path, blobs: filepath.Join(path, depot), trust: filepath.Join(path, "trust")}, nil
		}
	}
	return nil, errs.E(errs.NotFound, &fs.PathError{Op: "open depot", Path: path, Err: fs.ErrNotExist})
}

// Name returns "directory PATH".
func (s *DirSource) Name() string { return "directory " + s.name }

// Local says that reading again costs no link.
func (s *DirSource) Local() bool { return true }

// Open is Source.Open.
func (s *DirSource) Open(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, -1, err
	}
	if _, err := digest.Parse(string(d)); err != nil {
		return nil, -1, errs.E(errs.Invalid, err)
	}
	f, size, err := openRegular(s.blobs, filepath.Join("blobs", "sha256", d.Encoded()))
	if err != nil {
		return nil, -1, err
	}
	if _, err := f.Seek(min(off, size), io.SeekStart); err != nil {
		f.Close()
		return nil, -1, err
	}
	return f, size, nil
}

// Metadata returns the metadata file of that name, not verified: fs.ErrNotExist when there is none.
func (s *DirSource) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	if err := trust.CheckMetadataName(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, size, err := openRegular(s.trust, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	defer f.Close()
	if size > limit {
		return nil, errs.Errorf(errs.Invalid, "%s: %s: %d bytes, more than %d", s.Name(), name, size, limit)
	}
	return fsx.Read(f, name, limit)
}

// openRegular opens dir/name, which must be a plain file inside of dir: a named pipe
// on a stick would block for ever.
func openRegular(dir, name string) (*os.File, int64, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	f, err := fsx.OpenIn(root, name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}
