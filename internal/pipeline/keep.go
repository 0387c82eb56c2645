package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/progress"
)

// Bounds of what one step keeps.
const (
	maxKept      = 10_000  // files
	maxKeptBytes = 4 << 30 // of all of them
	maxKeptDepth = 64
)

// depot is where kept files are.
type depot interface {
	Put(ctx context.Context, r io.Reader, want digest.Digest, size int64) (digest.Digest, int64, error)
}

// keep puts the files that the step's copy in dir has under paths into the depot, sorted by path. No
// link is followed: one is an error, as is a path that is not there unless some is set.
func keep(ctx context.Context, to depot, dir string, paths []string, some bool) ([]Kept, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "keep: the command removed its own folder")
	}
	defer root.Close()
	k := keeper{ctx: ctx, to: to, root: root, room: maxKeptBytes}
	for _, p := range paths {
		err := k.add(p, 0)
		if errors.Is(err, fs.ErrNotExist) {
			if some {
				continue
			}
			err = errs.Errorf(errs.Invalid, "the command made no %s", p)
		}
		if err != nil {
			return nil, errs.Hint(fmt.Errorf("keep: %w", err), "keep names files and folders that the command makes")
		}
	}
	slices.SortFunc(k.list, func(a, b Kept) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(k.list, func(a, b Kept) bool { return a.Path == b.Path }), nil
}

type keeper struct {
	ctx  context.Context //nolint:containedctx // of one call of keep
	to   depot
	root *os.Root
	list []Kept
	room int64
}

func (k *keeper) add(name string, depth int) error {
	// Each part is looked at: a link to a folder would bring what the command could not read.
	for dir := path.Dir(name); depth == 0 && dir != "."; dir = path.Dir(dir) {
		info, err := k.root.Lstat(filepath.FromSlash(dir))
		if err == nil && !info.IsDir() {
			err = notPlain(dir, info)
		}
		if err != nil {
			return err
		}
	}
	info, err := k.root.Lstat(filepath.FromSlash(name))
	switch {
	case err != nil:
		return err
	case depth > maxKeptDepth:
		return errs.Errorf(errs.Invalid, "%.60q…: more than %d folders in each other", name, maxKeptDepth)
	case info.Mode().IsRegular():
		return k.file(name)
	case !info.IsDir():
		return notPlain(name, info)
	}
	d, err := k.root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		const some = 256
		entries, err := d.ReadDir(some)
		for _, e := range entries {
			if err := k.add(path.Join(name, e.Name()), depth+1); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func notPlain(name string, info fs.FileInfo) error {
	return errs.Errorf(errs.Invalid, "%s is neither a folder nor a file but %s", name, info.Mode())
}

func (k *keeper) file(name string) error {
	if len(k.list) == maxKept {
		return errs.Errorf(errs.Invalid, "more than %d files", maxKept)
	}
	f, err := fsx.OpenIn(k.root, filepath.FromSlash(name))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if k.room -= info.Size(); k.room < 0 {
		return errs.Errorf(errs.Invalid, "more than %s", progress.Bytes(maxKeptBytes))
	}
	d, size, err := k.to.Put(k.ctx, f, "", -1)
	if err != nil {
		return err
	}
	k.list = append(k.list, Kept{Path: name, Digest: d, Size: size, Program: info.Mode()&0o100 != 0})
	return nil
}

// place writes files below dir/under, by names that were looked at when they were kept. What stands there
// is replaced; a link in the way that leaves dir is an error.
func place(ctx context.Context, open func(context.Context, digest.Digest) (io.ReadCloser, error), dir, under string, files []Kept) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, k := range files {
		if err := placeOne(ctx, open, root, path.Join(under, k.Path), k); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Join(dir, under, k.Path), err)
		}
	}
	return nil
}

func placeOne(ctx context.Context, open func(context.Context, digest.Digest) (io.ReadCloser, error), root *os.Root, name string, k Kept) error {
	const folder, program, data = 0o755, 0o755, 0o644
	mode := fs.FileMode(data)
	if k.Program {
		mode = program
	}
	name = filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(name), folder); err != nil {
		return err
	}
	from, err := open(ctx, k.Digest)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	to, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
