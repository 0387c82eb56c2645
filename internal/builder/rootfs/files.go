package rootfs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"overland/internal/deb/maintscript"
	"overland/internal/errs"
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
	for name := range t.in(path.Clean(dir)) {
		list = append(list, path.Base(name))
	}
	slices.Sort(list)
	return list
}

// in returns the whole names of what is in a folder; "." is the root.
func (t files) in(dir string) map[string]bool {
	if t.kids == nil {
		t.kids = names{}
		for name := range t.entries {
			t.kids.add(path.Dir(name), name)
		}
	}
	return t.kids[dir]
}

// links returns the hard links, by what they are of.
func (t files) links() names {
	if t.hard == nil {
		t.hard = names{}
		for name, e := range t.entries {
			if e.kind == tar.TypeLink {
				t.hard.add(e.target, name)
			}
		}
	}
	return t.hard
}

// Read returns what the file name holds.
func (t files) Read(name string) ([]byte, error) {
	if e := t.entries[name]; e != nil && e.kind == tar.TypeLink {
		name = e.target
	}
	return t.read(name)
}

// Bytes yields what the regular file name holds.
func (t files) Bytes(name string) io.ReaderAt {
	return t.itself(name).bytes()
}

// Put makes name what f says.
func (t files) Put(name string, f maintscript.File, b []byte) error {
	if err := t.allowed(name, f.Target); err != nil {
		return err
	}
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
		e.in, e.at, e.size = t.spool, t.spool.size, int64(len(b))
		if err := t.spool.write(bytes.NewReader(b)); err != nil {
			return err
		}
	}
	return t.set(name, e)
}

// allowed returns an error for a name that no package may have either, or a link's target like that.
func (t files) allowed(name, target string) error {
	if is, err := t.clean(name); err != nil || is != name || name == "" {
		return errs.Errorf(errs.Invalid, "%.200q is not a name of a file below the root", name)
	}
	if len(target) > nameLimit || strings.Contains(target, "\x00") {
		return errs.Errorf(errs.Invalid, "%s is a link to %.100q", name, target)
	}
	return nil
}

// Remove removes name and what lies below it.
func (t files) Remove(name string) {
	for _, one := range t.below(name) {
		t.part(one)
		t.drop(one)
	}
}

// drop forgets name, whose bytes nobody else needs.
func (t files) drop(name string) {
	delete(t.entries, name)
	delete(t.in(path.Dir(name)), name)
}

// Rename moves name and what lies below it.
func (t files) Rename(from, to string) error {
	if from == to {
		return nil
	}
	if to == "" || strings.HasPrefix(to+"/", from+"/") {
		return fmt.Errorf("%s cannot become %s", from, to)
	}
	all := t.below(from)
	for _, one := range all {
		if err := t.allowed(to+strings.TrimPrefix(one, from), ""); err != nil {
			return err
		}
	}
	t.Remove(to)
	hard := t.links()
	for _, one := range all {
		at, e := to+strings.TrimPrefix(one, from), t.entries[one]
		for link := range hard[one] {
			t.entries[link].target = at
			hard.add(at, link)
		}
		delete(hard, one)
		if e.kind == tar.TypeLink {
			delete(hard[e.target], one)
			hard.add(e.target, at)
		}
		if err := t.set(at, e); err != nil {
			return err
		}
		t.drop(one)
	}
	return nil
}

// below returns name, if it is there, and all names below it, sorted.
func (t files) below(name string) (list []string) {
	if t.has(name) {
		list = append(list, name)
	}
	for at := 0; at < len(list); at++ {
		for one := range t.in(list[at]) {
			list = append(list, one)
		}
	}
	slices.Sort(list)
	return list
}

// part gives the bytes of the file name to one of the hard links to it, before they are gone.
func (t files) part(name string) {
	e := t.entries[name]
	switch {
	case e == nil:
		return
	case e.kind == tar.TypeLink:
		delete(t.links()[e.target], name)
		return
	case e.kind != tar.TypeReg:
		return
	}
	hard := t.links()
	var heir string
	for _, one := range slices.Sorted(maps.Keys(hard[name])) {
		if heir == "" {
			whole := *e
			t.entries[one], heir = &whole, one
			continue
		}
		t.entries[one].target = heir
		hard.add(heir, one)
	}
	delete(hard, name)
}
