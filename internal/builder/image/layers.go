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
	"overland/internal/builder/placed"
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
	type owned struct {
		mode     fs.FileMode
		uid, gid int
	}
	first := map[owned]string{}
	for _, at := range paths {
		e, err := entry(at, m.image.Files[at], placed.ModeOf(of))
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

// entry returns the member that f becomes at the path at; usual is its mode when f names none.
func entry(at string, f File, usual fs.FileMode) (image.Entry, error) {
	mode, err := f.FileMode(usual)
	if err != nil {
		return image.Entry{}, err
	}
	e := image.Entry{Name: strings.TrimPrefix(at, "/"), Mode: mode, Time: dated()}
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
		err := f.Walk(m.job, root, "under files", func(name, below string, info fs.FileInfo, f File) error {
			return place(l, root, name, path.Join(at, below), info, f)
		})
		if err != nil {
			return fmt.Errorf("./%s: %w", f.Path, err)
		}
	}
	return nil
}

// place adds what root has under name, with the mode and owner of f, at the path at.
func place(l *image.Layer, root *os.Root, name, at string, info fs.FileInfo, f File) error {
	e, err := entry(at, f, placed.UsualMode(info))
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
