package packages

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"overland/internal/builder"
	"overland/internal/builder/placed"
	"overland/internal/deb"
	"overland/internal/deflate"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
)

// making is one package on its way.
type making struct {
	settings
	ctx   context.Context //nolint:containedctx // of one Build
	depot store.Opener
	job   builder.Job
	root  *os.Root // the checkout
	time  time.Time
	owned []owned
}

// owned is a member that belongs to somebody else than root.
type owned struct {
	at, owner string
	mode      fs.FileMode
}

const homeMode = 0o750

// members returns all that is in the package, by name.
func (m *making) members() ([]deb.Member, error) {
	var list []deb.Member
	for _, at := range slices.Sorted(maps.Keys(m.Package.Files)) {
		some, err := m.file(strings.TrimPrefix(at, "/"), m.Package.Files[at])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		list = append(list, some...)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Package.Users)) {
		home := m.Package.Users[name]
		if home == NoHome {
			continue
		}
		at := strings.TrimPrefix(home, "/")
		if !slices.ContainsFunc(list, func(o deb.Member) bool { return o.Name == at }) {
			list = append(list, deb.Member{Name: at, Mode: fs.ModeDir | homeMode})
		}
		m.owned = append(m.owned, owned{home, name + ":" + name, homeMode})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Package.Services)) {
		one, err := m.service(name, m.Package.Services[name])
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		list = append(list, one)
	}
	about, err := m.about(list)
	if err != nil {
		return nil, err
	}
	list = append(list, about...)
	slices.SortStableFunc(list, func(a, b deb.Member) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// file returns what f puts at the path at.
func (m *making) file(at string, f File) ([]deb.Member, error) {
	var list []deb.Member
	var err error
	if f.Artifact != "" {
		of := m.job.Needs[f.Artifact]
		one := deb.Member{Name: at, Size: of.Size, Open: func() (io.ReadCloser, error) { return m.depot.Open(m.ctx, of.Digest) }}
		one.Mode, err = f.FileMode(placed.ModeOf(of))
		list = append(list, one)
	} else if list, err = m.tree(at, f); err != nil {
		err = fmt.Errorf("./%s: %w", f.Path, err)
	}
	if err != nil {
		return nil, err
	}
	if f.Owner == "" || f.Owner == "root:root" {
		return list, nil
	}
	if len(list) != 1 || !list[0].Mode.IsRegular() {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "an owner, and it is not one file"), "name the files that are not root's one by one")
	}
	m.owned = append(m.owned, owned{"/" + at, f.Owner, list[0].Mode})
	return list, nil
}

// tree returns what the commit has under f.Path, for the path at. Links are placed as links, and never followed.
func (m *making) tree(at string, f File) (list []deb.Member, err error) {
	err = f.Walk(m.job, m.root, "in overland.yaml", func(name, below string, info fs.FileInfo, f File) error {
		one, err := m.place(path.Join(at, below), name, info, f)
		list = append(list, one)
		return err
	})
	return list, err
}

// place returns the member at of what the commit has under name, with the mode of f.
func (m *making) place(at, name string, info fs.FileInfo, f File) (one deb.Member, err error) {
	one.Name = at
	switch {
	case info.IsDir():
		one.Mode = fs.ModeDir | placed.UsualMode(info)
	case info.Mode().Type() == fs.ModeSymlink:
		one.Mode = fs.ModeSymlink
		one.Target, err = m.root.Readlink(name)
	default:
		one.Size, one.Open = info.Size(), func() (io.ReadCloser, error) { return fsx.OpenIn(m.root, name) }
		one.Mode, err = f.FileMode(placed.UsualMode(info))
	}
	return one, err
}

func notOne(name string) error { return errs.Errorf(errs.Invalid, "./%s: it is not one file", name) }

// bits returns the permissions of o as chmod takes them.
func (o owned) bits() int64 { return fsx.ModeBits(o.mode) }

// text returns a member with that text.
func text(at, s string) deb.Member {
	return deb.Member{Name: at, Mode: placed.FileMode, Size: int64(len(s)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }}
}

// about returns what a package says of itself below usr/share/doc, where list does not: its license, and its changelog.
func (m *making) about(list []deb.Member) ([]deb.Member, error) {
	dir := "usr/share/doc/" + m.Name + "/"
	var changes bytes.Buffer
	z, err := deflate.NewGzip(&changes)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(z, "%s (%s) unstable; urgency=medium\n\n  * Made of commit %s.\n\n -- %s  %s\n", m.Name, m.Version, m.Commit, m.Package.Maintainer, m.time.Format(time.RFC1123Z))
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, err
	}
	rights := text(dir+"copyright", fmt.Sprintf("%s was made of commit %s.\n\nLicense: %s\n", m.Name, m.Commit, cmp.Or(m.Package.License, "not told")))
	if name, local := strings.CutPrefix(m.Package.License, "./"); local {
		some, err := m.tree(rights.Name, File{Path: path.Clean(name), Mode: "0644"})
		if err == nil && (len(some) != 1 || !some[0].Mode.IsRegular()) {
			err = notOne(name)
		}
		if err != nil {
			return nil, fmt.Errorf("license: %s: %w", m.Package.License, err)
		}
		rights = some[0]
	}
	return slices.DeleteFunc([]deb.Member{rights, text(dir+"changelog.gz", changes.String())}, func(one deb.Member) bool {
		return slices.ContainsFunc(list, func(o deb.Member) bool { return o.Name == one.Name })
	}), nil
}
