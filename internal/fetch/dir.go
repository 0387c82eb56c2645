package fetch

import (
	"cmp"
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
	"overland/internal/store"
	"overland/internal/trust"
)

// DirSource is a depot directory: a mirror, a stick, a site's or another node's folder. It is a
// Source and has the method of a trust.MetadataSource. Nothing outside of its folders of blobs and
// metadata is read, whatever links are in them; when it was found, they themselves are no links.
type DirSource struct {
	name  string
	depot string // below name
	// patience is how long what was found may say nothing; nil = as long as it takes.
	patience *fsx.Patience
	open     func(dir, name string) (dirFile, int64, error)
}

// dirFile is an open file of a directory.
type dirFile interface {
	fsx.ReaderAt
	io.Closer
}

// Dir returns the depot at path, with its metadata in path/trust. A directory that holds
// the depot in a folder "depot" (a site's, a node's) will do as well. Errors:
// fs.ErrNotExist when there is no depot. It is waited for as long as it takes: a person named it.
func Dir(path string) (*DirSource, error) {
	for _, depot := range []string{".", "depot"} {
		info, err := os.Stat(filepath.Join(path, depot, store.BlobFolder))
		if err == nil && info.IsDir() {
			return &DirSource{name: path, depot: depot, open: openRegular}, nil
		}
	}
	return nil, errs.E(errs.NotFound, &fs.PathError{Op: "open depot", Path: path, Err: fs.ErrNotExist})
}

// DirFound is Dir for a directory that stands where anybody may have put it: each look at a file in it
// is done with patience, and ends when nobody waits for it.
func DirFound(path string, patience *fsx.Patience) (*DirSource, error) {
	type opened struct {
		s   *DirSource
		err error
	}
	o, err := fsx.Await(context.Background(), patience, path, func() opened {
		s, err := Dir(path)
		return opened{s, err}
	}, nil)
	if err = cmp.Or(err, o.err); err != nil {
		return nil, err
	}
	o.s.patience = patience
	return o.s, nil
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
	f, size, err := s.file(ctx, s.depot, filepath.Join(store.BlobFolder, d.Encoded()))
	if err != nil {
		return nil, -1, err
	}
	return &dirReader{ctx: ctx, s: s, f: f, off: min(off, size)}, size, nil
}

// file opens a file in folder, which may be a link to elsewhere when a person named s.
func (s *DirSource) file(ctx context.Context, folder, name string) (dirFile, int64, error) {
	if s.patience == nil {
		return s.open(filepath.Join(s.name, folder), name)
	}
	name = filepath.Join(folder, name)
	type opened struct {
		f    dirFile
		size int64
		err  error
	}
	o, err := fsx.Await(ctx, s.patience, filepath.Join(s.name, name), func() opened {
		f, size, err := s.open(s.name, name)
		return opened{f, size, err}
	}, func(o opened) {
		if o.err == nil {
			_ = o.f.Close()
		}
	})
	if err != nil {
		return nil, 0, err
	}
	return o.f, o.size, o.err
}

// dirReader reads a file of s.
type dirReader struct {
	ctx context.Context //nolint:containedctx // of the Open that it belongs to
	s   *DirSource
	f   dirFile
	off int64
}

func (r *dirReader) Read(p []byte) (n int, err error) {
	if r.s.patience == nil {
		n, err = r.f.ReadAt(p, r.off)
	} else {
		n, err = r.s.patience.ReadAt(r.ctx, r.f, p, r.off)
	}
	if r.off += int64(n); n > 0 && errors.Is(err, io.EOF) {
		err = nil // the next read says so
	}
	return n, err
}

func (r *dirReader) Close() error {
	if r.s.patience == nil {
		return r.f.Close()
	}
	return r.s.patience.Close(r.ctx, r.f.Name(), r.f)
}

// Metadata returns the metadata file of that name, not verified: fs.ErrNotExist when there is none.
func (s *DirSource) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	if err := trust.CheckMetadataName(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, size, err := s.file(ctx, "trust", name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	r := &dirReader{ctx: ctx, s: s, f: f}
	defer r.Close()
	if size > limit {
		return nil, errs.Errorf(errs.Invalid, "%s: %s: %d bytes, more than %d", s.Name(), name, size, limit)
	}
	return fsx.Read(r, name, limit)
}

// openRegular opens dir/name, which must be a plain file inside of dir: a named pipe
// on a stick would block for ever.
func openRegular(dir, name string) (dirFile, int64, error) {
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
