package operator

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// ExportDir copies what b made to dir/PLATFORM/FILE ("linux-arm-v6/wallet"), each whole or not at
// all, and returns the paths in the order of b.Programs. The mode is 0755, and 0644 for data.
func (p *Operator) ExportDir(ctx context.Context, b *Built, dir string) ([]string, error) {
	var paths []string
	for _, a := range b.Programs {
		path := filepath.Join(dir, a.Platform.Dashed(), a.File)
		mode := fs.FileMode(0o755)
		if a.Data {
			mode = 0o644
		}
		if err := p.export(ctx, a.Digest, path, mode); err != nil {
			return paths, fmt.Errorf("write %s: %w", path, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// export copies rather than links: the file is the user's, who may change it in place.
func (p *Operator) export(ctx context.Context, d digest.Digest, path string, mode fs.FileMode) error {
	if err := p.o.FS.Mkdir(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	from, err := p.depot.Open(ctx, d)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := p.o.FS.Create(path, mode)
	if err != nil {
		return err
	}
	defer to.Discard()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	return to.Commit()
}

// ExportOCI writes b as an unsigned release into the OCI image layout dir, tagged "APP@VERSION".
func (p *Operator) ExportOCI(ctx context.Context, b *Built, dir string) error {
	if err := p.o.FS.Mkdir(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	to, err := storedir.Open(dir, storedir.Options{FS: p.o.FS})
	if err != nil {
		return fmt.Errorf("write image layout %s: %w", dir, err)
	}
	for _, a := range b.Programs {
		if err := p.copyBlob(ctx, to, a.Digest, a.Size); err != nil {
			return fmt.Errorf("write image layout %s: %w", dir, err)
		}
	}
	if _, err := release.Write(ctx, to, b.Release()); err != nil {
		return fmt.Errorf("write image layout %s: %w", dir, err)
	}
	return nil
}

func (p *Operator) copyBlob(ctx context.Context, to store.Store, d digest.Digest, size int64) error {
	from, err := p.depot.Open(ctx, d)
	if err != nil {
		return errs.E(errs.Internal, err)
	}
	defer from.Close()
	_, _, err = to.Put(ctx, from, d, size)
	return err
}
