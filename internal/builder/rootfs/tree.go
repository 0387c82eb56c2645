package rootfs

import (
	"archive/tar"
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// Limits of one root file system.
const (
	entriesLimit = 1_000_000
	sizeLimit    = 16 << 30  // bytes of all files
	namesLimit   = 256 << 20 // bytes of all names, which are held in memory
	nameLimit    = 4096      // bytes of a name or the target of a link
	idLimit      = 1 << 16   // of a user or a group
	dirMode      = 0o755
	fileMode     = 0o644
)

// tree is a root file system while it is made: names in memory, what files hold in a spool.
type tree struct {
	entries map[string]*entry // by clean names without a leading slash
	spool   *spool            // for what comes one after the other
	used    *used
	names   int64
	latest  time.Time // of all files; what is made here has it
	merged  []string  // folders that are links to those of the same name below usr
	data    bool      // nothing in it runs on a processor
	kids    names     // of folders; nil until somebody lists one
	hard    names     // links by the file that they are of; nil until a file goes that may have some
}

// names are sets of names, by names.
type names map[string]map[string]bool

func (n names) add(of, name string) {
	if n[of] == nil {
		n[of] = map[string]bool{}
	}
	n[of][name] = true
}

// owner is a package that files are of.
type owner interface {
	called() string
	// over says who has a file that old has too: wins = this package. ok is false when neither may have the other's.
	over(old owner) (wins, ok bool)
}

// entry is one file, folder or link.
type entry struct {
	kind     byte // tar.TypeReg, TypeDir, TypeSymlink, TypeLink
	mode     int64
	uid, gid int
	made     time.Time
	target   string // of a symlink, as it is; of a hard link, a name in the tree
	in       *spool
	at, size int64             // in the spool
	of       owner             // nil = made here
	xattrs   map[string]string // as a tar has them
}

// newTree returns an empty tree whose spool is a file in the folder dir. Packages may have files in a folder that is
// merged and in the one below usr, as long as the root has them in one. With data, it takes no programs.
func newTree(dir string, merged []string, data bool) (*tree, error) {
	used := &used{}
	sp, err := newSpool(dir, used)
	if err != nil {
		return nil, err
	}
	return &tree{entries: map[string]*entry{}, spool: sp, used: used, merged: merged, data: data}, nil
}

func (t *tree) close() { t.spool.close() }

// clean returns the name in the tree of an entry called raw; "" is the root itself.
func (t *tree) clean(raw string) (string, error) {
	name := path.Clean(strings.TrimPrefix(raw, "./"))
	if len(raw) > nameLimit || raw == "" || raw[0] == '/' || strings.ContainsAny(raw, "\x00\n") || name != "." && !filepath.IsLocal(name) {
		return "", errs.Errorf(errs.Untrusted, "%.200q is not a name of a file below the root", raw)
	}
	if name == "." {
		return "", nil
	}
	first, _, deeper := strings.Cut(name, "/")
	if deeper && slices.Contains(t.merged, first) {
		return "usr/" + name, nil
	}
	return name, nil
}

// add adds the entry h of p, whose bytes are r.
func (t *tree) add(p owner, h *tar.Header, r io.Reader) error {
	name, e, err := t.entry(p, h)
	if err != nil || name == "" {
		return err
	}
	if keep, err := t.fill(name, e, h, r, t.spool); err != nil || !keep {
		return err
	}
	return t.place(name, e)
}

// place gives e its name, unless what is there has more right to it.
func (t *tree) place(name string, e *entry) error {
	if old := t.entries[name]; old != nil {
		keep, err := t.both(name, old, e)
		if err != nil || keep {
			return err
		}
	}
	return t.set(name, e)
}

// entry returns what the entry h of p is in the tree, and its name there: "" is the root itself. It looks at nothing else of the tree, so
// that several packages may be read at once.
func (t *tree) entry(p owner, h *tar.Header) (string, *entry, error) {
	name, err := t.clean(h.Name)
	if err != nil || name == "" {
		return "", nil, err
	}
	kind := h.Typeflag
	if kind == tar.TypeDir && slices.Contains(t.merged, name) {
		name = "usr/" + name
	}
	e := &entry{kind: kind, mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid, made: h.ModTime.Truncate(time.Second), target: h.Linkname, of: p}
	switch {
	case h.Uid < 0 || h.Uid >= idLimit || h.Gid < 0 || h.Gid >= idLimit:
		return "", nil, errs.Errorf(errs.Untrusted, "%s is of user %d and group %d", name, h.Uid, h.Gid)
	case kind == tar.TypeReg, kind == tar.TypeDir:
	case kind == tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > nameLimit || strings.Contains(h.Linkname, "\x00") {
			return "", nil, errs.Errorf(errs.Untrusted, "%s is a link to %.100q", name, h.Linkname)
		}
	case kind == tar.TypeLink:
		if e.target, err = t.clean(h.Linkname); err != nil {
			return "", nil, err
		}
	default:
		return "", nil, errs.Errorf(errs.Untrusted, "%s is neither file, folder nor link: a device, or worse (type %q)", name, kind)
	}
	return name, e, nil
}

// fill puts the bytes r of e, if it is a regular file, into in, and reports whether e belongs to the tree.
func (t *tree) fill(name string, e *entry, h *tar.Header, r io.Reader, in *spool) (keep bool, err error) {
	if e.kind != tar.TypeReg {
		return true, nil
	}
	if t.data {
		head := make([]byte, len(elf.ELFMAG))
		n, err := io.ReadFull(r, head)
		switch {
		case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return false, err
		case string(head[:n]) == elf.ELFMAG:
			return false, program(e.of, name)
		}
		r = io.MultiReader(bytes.NewReader(head[:n]), r)
	}
	e.in, e.at, e.size = in, in.size, h.Size
	return true, in.write(r)
}

// program says what happens to a program or library of p in a root without any: what is always there goes without its
// own, which only scripts need.
func program(p owner, name string) error {
	if slices.Contains(always, p.called()) {
		return nil
	}
	return errs.Hint(errs.Errorf(errs.Invalid, "%s is not only data: /%s runs on one processor", p.called(), name),
		"leave %s out, or say data-only: no, for a root file system of each platform", p.called())
}

// both says what happens to the entry old that e has the name of: keep = it stays.
func (t *tree) both(name string, old, e *entry) (keep bool, err error) {
	switch {
	case old.kind == tar.TypeDir && e.kind == tar.TypeDir:
		return true, nil
	case old.of == e.of || old.of == nil:
		return false, errs.Errorf(errs.Untrusted, "%s is there twice", name)
	case old.kind != tar.TypeDir && e.kind != tar.TypeDir:
		if wins, ok := e.of.over(old.of); ok {
			return !wins, nil
		}
	}
	return false, errs.Hint(errs.Errorf(errs.Invalid, "%s and %s both have %s, and neither says that it replaces the other", old.of.called(), e.of.called(), name),
		"leave one of them out")
}

func (t *tree) set(name string, e *entry) error {
	if _, there := t.entries[name]; !there {
		t.names += int64(len(name) + len(e.target))
		if t.kids != nil {
			t.kids.add(path.Dir(name), name)
		}
	}
	t.entries[name] = e
	if e.made.After(t.latest) {
		t.latest = e.made
	}
	if len(t.entries) > entriesLimit || t.names > namesLimit {
		return tooMany()
	}
	return nil
}

// The following are for actions: what is made here has no package, is root's, and as old as the
// newest file of the packages.

func (t *tree) has(name string) bool { return t.entries[name] != nil }

// under returns the names of the regular files in the folder dir and below, sorted.
func (t *tree) under(dir string) (list []string) {
	for name, e := range t.entries {
		if e.kind == tar.TypeReg && strings.HasPrefix(name, dir+"/") {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// read returns what the file name holds; fs.ErrNotExist when it is not a regular file.
func (t *tree) read(name string) ([]byte, error) {
	e := t.entries[name]
	if e == nil || e.kind != tar.TypeReg {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	const most = 64 << 20
	return fsx.Read(e.bytes(), name, most)
}

// write makes the file name unless it is there.
func (t *tree) write(name string, mode int64, b []byte) error {
	if t.has(name) {
		return nil
	}
	e := &entry{kind: tar.TypeReg, mode: mode, in: t.spool, at: t.spool.size, size: int64(len(b))}
	return errors.Join(t.spool.write(bytes.NewReader(b)), t.set(name, e))
}

// link makes the symbolic link name to target unless something is there.
func (t *tree) link(name, target string) error {
	if t.has(name) {
		return nil
	}
	return t.set(name, &entry{kind: tar.TypeSymlink, mode: 0o777, target: target})
}

// dir makes the folder name unless something is there.
func (t *tree) dir(name string, mode int64, gid int) error {
	if t.has(name) {
		return nil
	}
	return t.set(name, &entry{kind: tar.TypeDir, mode: mode, gid: gid})
}

// complete adds the folders that are missing and the links of merged, and checks what holds for the
// tree as a whole.
func (t *tree) complete() error {
	for _, name := range slices.Collect(maps.Keys(t.entries)) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if err := t.dir(dir, dirMode, 0); err != nil {
				return err
			}
			if t.entries[dir].kind != tar.TypeDir {
				return errs.Errorf(errs.Untrusted, "%s lies below %s, which is not a folder", name, dir)
			}
		}
	}
	for _, name := range t.merged {
		if e := t.entries["usr/"+name]; e == nil || e.kind != tar.TypeDir {
			continue
		}
		if err := t.link(name, "usr/"+name); err != nil {
			return err
		}
		if e := t.entries[name]; e.kind != tar.TypeSymlink || e.target != "usr/"+name {
			return errs.Errorf(errs.Untrusted, "/%s is not a link to usr/%s", name, name)
		}
	}
	for name, e := range t.entries {
		if e.kind != tar.TypeLink {
			continue
		}
		to := t.entries[e.target]
		if to == nil || to.kind != tar.TypeReg || to.of != e.of {
			return errs.Errorf(errs.Untrusted, "%s is a hard link to %.200q, which is not a file of its package", name, e.target)
		}
	}
	return nil
}

// writeTo writes the tree to w as a tar whose entries are sorted by name.
func (t *tree) writeTo(w io.Writer) error {
	out, buf := tar.NewWriter(w), make([]byte, bufferSize)
	first := map[string]string{} // of a file that has several names: the one that was written with its bytes
	for _, name := range slices.Sorted(maps.Keys(t.entries)) {
		e := t.entries[name]
		h := &tar.Header{
			Typeflag: e.kind, Name: name, Mode: e.mode, Uid: e.uid, Gid: e.gid, ModTime: e.made, Linkname: e.target, Size: e.size, PAXRecords: e.xattrs,
		}
		if e.made.IsZero() {
			h.ModTime = t.latest
		}
		switch e.kind {
		case tar.TypeDir:
			h.Name += "/"
		case tar.TypeReg, tar.TypeLink:
			// The sorted order may have a link before the file.
			file := cmp.Or(e.target, name)
			if at, written := first[file]; written {
				h.Typeflag, h.Linkname, h.Size = tar.TypeLink, at, 0
				break
			}
			first[file] = name
			to := t.entries[file]
			h.Typeflag, h.Linkname, h.Size, h.Mode, h.PAXRecords = tar.TypeReg, "", to.size, to.mode, to.xattrs
			e = to
		}
		if err := out.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.CopyBuffer(out, e.bytes(), buf); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return out.Close()
}
