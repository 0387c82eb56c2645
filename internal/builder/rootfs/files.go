package rootfs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"overland/internal/deb/maintscript"
	"overland/internal/fsx"
)

// files is a tree as maintainer scripts see it, once it is complete. What they make or change has no package, and is as
// old as the newest file of the packages.
type files struct{ *tree }

var _ maintscript.Root = files{}

// itself returns the entry that has the bytes and the mode of name: of a hard link, the file.
func (t files) itself(name string) *entry {
	e := t.entries[name]
	if e != nil && e.kind == tar.TypeLink {
		return t.entries[e.target]
	}
	return e
}

// Get returns the file name.
func (t files) Get(name string) (maintscript.File, bool) {
	e := t.itself(name)
	if e == nil {
		return maintscript.File{}, false
	}
	f := maintscript.File{Mode: fsx.Mode(e.mode), UID: e.uid, GID: e.gid, Size: e.size}
	switch e.kind {
	case tar.TypeDir:
		f.Mode |= fs.ModeDir
	case tar.TypeSymlink:
		f.Mode |= fs.ModeSymlink
		f.Target = e.target
	}
	return f, true
}

// List returns the names in the folder dir.
func (t files) List(dir string) (list []string) {
	for name := range t.entries {
		if path.Dir(name) == path.Clean(dir) {
			list = append(list, path.Base(name))
		}
	}
	slices.Sort(list)
	return list
}

// Read returns what the file name holds.
func (t files) Read(name string) ([]byte, error) {
	if e := t.entries[name]; e != nil && e.kind == tar.TypeLink {
		name = e.target
	}
	return t.read(name)
}

// Put makes name what f says.
func (t files) Put(name string, f maintscript.File, b []byte) error {
	e := &entry{mode: fsx.ModeBits(f.Mode), uid: f.UID, gid: f.GID, target: f.Target}
	switch {
	case f.Mode.IsDir():
		e.kind = tar.TypeDir
	case f.Mode&fs.ModeSymlink != 0:
		e.kind = tar.TypeSymlink
	default:
		e.kind = tar.TypeReg
	}
	old := t.itself(name)
	if e.kind == tar.TypeReg && b == nil && old != nil && old.kind == tar.TypeReg || e.kind == tar.TypeDir && old != nil && old.kind == tar.TypeDir {
		old.mode, old.uid, old.gid = e.mode, e.uid, e.gid
		return nil
	}
	t.part(name)
	if e.kind == tar.TypeReg {
		e.at, e.size = t.size, int64(len(b))
		if err := t.spooled(bytes.NewReader(b)); err != nil {
			return err
		}
	}
	return t.set(name, e)
}

// Remove removes name and what lies below it.
func (t files) Remove(name string) {
	for _, one := range t.below(name) {
		t.part(one)
		delete(t.entries, one)
	}
}

// Rename moves name and what lies below it.
func (t files) Rename(from, to string) error {
	if from == to {
		return nil
	}
	if to == "" || strings.HasPrefix(to+"/", from+"/") {
		return fmt.Errorf("%s cannot become %s", from, to)
	}
	t.Remove(to)
	for _, one := range t.below(from) {
		at := to + strings.TrimPrefix(one, from)
		for _, e := range t.entries {
			if e.kind == tar.TypeLink && e.target == one {
				e.target = at
			}
		}
		if err := t.set(at, t.entries[one]); err != nil {
			return err
		}
		delete(t.entries, one)
	}
	return nil
}

// below returns name, if it is there, and all names below it, sorted; of "", all names.
func (t files) below(name string) (list []string) {
	for one := range t.entries {
		if one == name || name == "" || strings.HasPrefix(one, name+"/") {
			list = append(list, one)
		}
	}
	slices.Sort(list)
	return list
}

// part gives the bytes of the file name to one of the hard links to it, before they are gone.
func (t files) part(name string) {
	e := t.entries[name]
	if e == nil || e.kind != tar.TypeReg {
		return
	}
	var heir string
	for _, one := range t.below("") {
		l := t.entries[one]
		if l.kind != tar.TypeLink || l.target != name {
			continue
		}
		if heir == "" {
			whole := *e
			t.entries[one], heir = &whole, one
			continue
		}
		l.target = heir
	}
}
