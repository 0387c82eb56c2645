package operator

import (
	"context"
	"errors"
	"io"
	"path/filepath"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator/changes"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/volume"
)

// Diff returns what differs from one of what to the other: each a release of the site, a volume, or another file. f says how
// volumes are checked, and which application in them is meant. A nil p knows no releases.
func (p *Operator) Diff(ctx context.Context, what [2]string, f FileOptions) (_ *changes.Changes, err error) {
	var sides [2]changes.Side
	for i, one := range what {
		side, done, err := p.side(ctx, one, f)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, done()) }()
		sides[i] = side
	}
	return changes.Between(ctx, sides[0], sides[1])
}

// side opens what. The caller calls done.
func (p *Operator) side(ctx context.Context, what string, f FileOptions) (s changes.Side, done func() error, err error) {
	done = func() error { return nil }
	ref, released, err := p.Which(ctx, what)
	if err != nil {
		return s, done, err
	}
	if released {
		_, d, err := p.find(ctx, ref)
		if err != nil {
			return s, done, err
		}
		r, err := release.Read(ctx, p.depot, d)
		return changes.Side{Name: ref.String(), Blobs: inspect.Depot{Blobs: p.depot}, Release: r}, done, err
	}
	if v, err := volume.Open(what); err == nil {
		if err := v.Close(); err != nil {
			return s, done, err
		}
		f.Path = what
		v, e, err := openSealed(ctx, f)
		if err != nil {
			return s, done, err
		}
		r, err := release.Read(ctx, v, e.Digest)
		return changes.Side{Name: filepath.Base(what), Blobs: v, Release: r}, v.Close, err
	}
	return fileSide(what)
}

// fileSide is a file that is not a volume: a program, the tar of a root file system, or anything.
func fileSide(path string) (s changes.Side, done func() error, err error) {
	done = func() error { return nil }
	f, err := fsx.Open(path)
	if err != nil {
		return s, done, err
	}
	h := digest.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return s, done, errors.Join(err, f.Close())
	}
	r := &release.Release{Artifacts: []release.Artifact{{Name: "file", Kind: release.KindFile, Blob: release.Blob{Digest: h.Digest(), Size: size}}}}
	return changes.Side{Name: filepath.Base(path), Blobs: oneFile{f, size}, Release: r}, f.Close, nil
}

// oneFile is a file as the only blob there is.
type oneFile struct {
	io.ReaderAt
	size int64
}

func (o oneFile) Section(context.Context, digest.Digest) (*io.SectionReader, io.Closer, error) {
	return io.NewSectionReader(o, 0, o.size), io.NopCloser(nil), nil
}

func (oneFile) Bytes(context.Context, digest.Digest, int64) ([]byte, error) {
	return nil, errs.Errorf(errs.NotFound, "a file alone")
}
