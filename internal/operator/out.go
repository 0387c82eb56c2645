package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/builder"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/image"
	"overland/internal/release"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// ExportDir copies what b made to dir/PLATFORM/FILE ("linux-arm-v6/wallet"), each whole or not at
// all, and returns the paths in the order of b.Programs. The mode is 0755, and 0644 for data. An image becomes the
// file NAME.tar, which docker load, podman, ctr and skopeo take, and is called NAME:VERSION there.
func (p *Operator) ExportDir(ctx context.Context, b *Built, dir string) ([]string, error) {
	var paths []string
	for _, a := range b.Programs {
		folder := filepath.Join(dir, a.Platform.Dashed())
		if info, err := os.Lstat(folder); err == nil && !info.IsDir() {
			return paths, leads(folder)
		}
		path := filepath.Join(folder, a.File)
		mode := fs.FileMode(0o755)
		if a.Data {
			mode = 0o644
		}
		copied := func(to io.Writer) error { return p.copyTo(ctx, a.Digest, to) }
		if a.Image {
			path += ".tar"
			copied = func(to io.Writer) error { return image.Save(ctx, p.depot, manifestOf(a), imageName(b, a.Name), to) }
		}
		if err := p.export(path, mode, copied); err != nil {
			return paths, fmt.Errorf("write %s: %w", path, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// leads is the error of what lies where an export makes folders and files of its own. A checkout may
// bring links there: what was built would replace a program of the operator's, or become a file of cron's.
func leads(path string) error {
	return errs.Hint(errs.Errorf(errs.Invalid, "%s is neither a folder nor a file, and may lead elsewhere", path), "remove it, or write to another folder")
}

// ownLayout refuses whatever is neither a folder nor a file in the layout dir, which itself may be a link.
func ownLayout(dir string) error {
	return filepath.WalkDir(dir+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err == nil && !d.IsDir() && !d.Type().IsRegular():
			return leads(path)
		}
		return err
	})
}

// export copies rather than links: the file is the user's, who may change it in place.
func (p *Operator) export(path string, mode fs.FileMode, write func(io.Writer) error) error {
	if err := p.o.FS.Mkdir(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return p.o.FS.WriteWith(path, mode, write)
}

func (p *Operator) copyTo(ctx context.Context, d digest.Digest, to io.Writer) error {
	from, err := p.depot.Open(ctx, d)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	return err
}

// manifestOf returns the descriptor of the image a.
func manifestOf(a builder.Built) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: a.Digest, Size: a.Size, Platform: a.Platform.OCI()}
}

// imageName returns what other tools call the image that is the artifact name of b.
func imageName(b *Built, name string) string { return name + ":" + b.Ref.Version }

// ExportOCI writes b as an unsigned release into the OCI image layout dir, tagged "APP@VERSION". An image has an
// index of its own in it, tagged "NAME:VERSION".
func (p *Operator) ExportOCI(ctx context.Context, b *Built, dir string) error {
	if err := ownLayout(dir); err != nil {
		return err
	}
	if err := p.o.FS.Mkdir(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	to, err := storedir.Open(dir, storedir.Options{FS: p.o.FS})
	if err != nil {
		return fmt.Errorf("write image layout %s: %w", dir, err)
	}
	images := map[string][]ocispec.Descriptor{}
	for _, a := range b.Programs {
		for _, d := range append([]digest.Digest{a.Digest}, a.Parts...) {
			if err := p.copyBlob(ctx, to, d); err != nil {
				return fmt.Errorf("write image layout %s: %w", dir, err)
			}
		}
		if a.Image {
			images[a.Name] = append(images[a.Name], manifestOf(a))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(images)) {
		index, err := image.PutIndex(ctx, to, images[name], nil)
		if err == nil {
			err = to.Tag(ctx, imageName(b, name), index)
		}
		if err != nil {
			return fmt.Errorf("write image layout %s: %w", dir, err)
		}
	}
	desc, err := release.Write(ctx, to, b.Release())
	if err == nil {
		err = release.Draft{Ref: b.Ref, Index: desc}.Name(ctx, to)
	}
	if err != nil {
		return fmt.Errorf("write image layout %s: %w", dir, err)
	}
	return nil
}

func (p *Operator) copyBlob(ctx context.Context, to store.Store, d digest.Digest) error {
	from, err := p.depot.Open(ctx, d)
	if err != nil {
		return errs.E(errs.Internal, err)
	}
	defer from.Close()
	_, _, err = to.Put(ctx, from, d, from.Size())
	return err
}
