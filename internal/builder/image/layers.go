package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"overland/internal/builder"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/image"
)

// making is one image on its way.
type making struct {
	b     *Builder
	job   builder.Job
	image Image
}

const (
	programMode = 0o755
	fileMode    = 0o644
)

// dated is the time of every file that is placed.
func dated() time.Time { return time.Unix(0, 0).UTC() }

// layers makes the layers of the image: the base, what comes from the commit, and each artifact.
func (m *making) layers(ctx context.Context, src string) ([]image.Step, error) {
	var list []image.Step
	if name := m.image.Base; name != "" {
		m.job.Progress(builder.StepCompile, "pack "+name)
		base, err := m.b.base(ctx, m.job.Needs[name], m.image.packing())
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", name, err)
		}
		list = append(list, image.Step{Made: base, By: "overland: base " + name})
	}
	var paths []string // in the image, of what comes from the commit
	artifacts := map[string][]string{}
	for at, f := range m.image.Files {
		if f.Artifact == "" {
			paths = append(paths, at)
		} else {
			artifacts[f.Artifact] = append(artifacts[f.Artifact], at)
		}
	}
	if len(paths) > 0 {
		slices.Sort(paths)
		made, err := m.image.packing().PutLayer(ctx, m.b.o.Store, dated(), func(l *image.Layer) error { return m.commit(l, src, paths) })
		if err != nil {
			return nil, err
		}
		list = append(list, image.Step{Made: made, By: "overland: files of the commit"})
	}
	if m.image.OtherPrograms != "" {
		made, err := m.entry(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, image.Step{Made: made, By: "overland: entry point"})
	}
	for _, name := range slices.Sorted(maps.Keys(artifacts)) {
		at := artifacts[name]
		slices.Sort(at)
		made, err := m.image.packing().PutLayer(ctx, m.b.o.Store, dated(), func(l *image.Layer) error { return m.artifact(ctx, l, name, at) })
		if err != nil {
			return nil, err
		}
		list = append(list, image.Step{Made: made, By: "overland: artifact " + name})
	}
	return list, nil
}

// artifact adds the artifact name at paths: once, and under the other paths as hard links where mode and owner agree.
func (m *making) artifact(ctx context.Context, l *image.Layer, name string, paths []string) error {
	of := m.job.Needs[name]
	mode := fs.FileMode(programMode)
	if of.Data {
		mode = fileMode
	}
	type owned struct {
		mode     fs.FileMode
		uid, gid int
	}
	first := map[owned]string{}
	for _, at := range paths {
		e, err := entry(at, m.image.Files[at], mode)
		if err != nil {
			return err
		}
		as := owned{e.Mode, e.UID, e.GID}
		if first[as] != "" {
			e.Kind, e.Target = image.Hardlink, first[as]
			if err := l.Add(e, nil); err != nil {
				return err
			}
			continue
		}
		first[as] = e.Name
		blob, err := m.b.o.Store.Open(ctx, of.Digest)
		if err != nil {
			return err
		}
		e.Size = of.Size
		err = l.Add(e, blob)
		if err = errors.Join(err, blob.Close()); err != nil {
			return err
		}
	}
	return nil
}

// entry returns the member that f becomes at the path at; mode is its mode when f names none.
func entry(at string, f File, mode fs.FileMode) (image.Entry, error) {
	e := image.Entry{Name: strings.TrimPrefix(at, "/"), Mode: mode, Time: dated()}
	if f.Mode != "" {
		const octal, bits = 8, 16
		n, err := strconv.ParseUint(f.Mode, octal, bits)
		if err != nil {
			return e, errs.E(errs.Invalid, err)
		}
		e.Mode = fsx.Mode(int64(n))
	}
	if uid, gid, ok := strings.Cut(f.Owner, ":"); ok {
		var err1, err2 error
		e.UID, err1 = strconv.Atoi(uid)
		e.GID, err2 = strconv.Atoi(gid)
		if err := errors.Join(err1, err2); err != nil {
			return e, errs.E(errs.Invalid, err)
		}
	}
	return e, nil
}

// commit adds what the commit has for paths, which are sorted. Links of the checkout are placed as links; what they
// lead to is not read, in the checkout or out of it.
func (m *making) commit(l *image.Layer, src string, paths []string) error {
	root, err := os.OpenRoot(src)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, at := range paths {
		f := m.image.Files[at]
		for _, left := range m.job.Left {
			if left.Path == f.Path || f.Path == "." || strings.HasPrefix(left.Path, f.Path+"/") {
				return left.Err()
			}
		}
		if err := m.tree(l, root, at, f); err != nil {
			return fmt.Errorf("./%s: %w", f.Path, err)
		}
	}
	return nil
}

func (m *making) tree(l *image.Layer, root *os.Root, at string, f File) error {
	info, err := root.Lstat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return errs.Hint(errs.Errorf(errs.Invalid, "it is not in the commit"), "commit it, or mend its path under files")
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return place(l, root, f.Path, at, info, f)
	}
	f.Mode = "" // of one file
	return fs.WalkDir(root.FS(), f.Path, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		below := "."
		if name != f.Path {
			below = strings.TrimPrefix(name, strings.TrimSuffix(f.Path+"/", "./"))
		}
		return place(l, root, name, path.Join(at, below), info, f)
	})
}

// place adds what root has under name, with the mode and owner of f, at the path at.
func place(l *image.Layer, root *os.Root, name, at string, info fs.FileInfo, f File) error {
	const executable = 0o100
	mode := fs.FileMode(fileMode)
	if info.Mode()&executable != 0 || info.IsDir() {
		mode = programMode
	}
	e, err := entry(at, f, mode)
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		e.Kind = image.Folder
		return l.Add(e, nil)
	case info.Mode().Type() == fs.ModeSymlink:
		e.Kind = image.Symlink
		if e.Target, err = root.Readlink(name); err != nil {
			return err
		}
		return l.Add(e, nil)
	}
	file, err := fsx.OpenIn(root, name)
	if err != nil {
		return err
	}
	e.Size = info.Size()
	return errors.Join(l.Add(e, file), file.Close())
}
