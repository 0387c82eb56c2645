package rootfs

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha1" // what the format has
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"overland/internal/alpine"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// apkDatabase is what apk keeps of what is installed, for apk itself and for scanners.
type apkDatabase struct {
	arch string
	list []*apkInstalled
}

// apkInstalled is a package with its files and scripts.
type apkInstalled struct {
	*apkCandidate
	dirs    []*apkDir
	scripts []apkScript
}

type apkDir struct {
	apkFile
	files []*apkFile
}

// apkFile is one of a package.
type apkFile struct {
	name         string // of a folder, the whole one in the tree
	mode         int64
	uid, gid     int
	uname, gname string // these count, if the root knows them
	sum, xattrs  string // as the database writes them; "" = none
}

type apkScript struct{ name, text string }

// unpack adds the files of c to t, and notes what the database says of them.
func (db *apkDatabase) unpack(ctx context.Context, t *tree, root *Root, c *apkCandidate) error {
	in := &apkInstalled{apkCandidate: c}
	db.list = append(db.list, in)
	return c.contents(ctx, alpine.Contents{
		Control: func(name string, r io.Reader) error {
			kind := strings.TrimPrefix(name, ".")
			if !slices.Contains(apkScripts, kind) {
				return nil
			}
			const most = 1 << 20
			b, err := fsx.Read(r, name, most)
			if err != nil {
				return err
			}
			in.scripts = append(in.scripts, apkScript{kind, string(b)})
			return in.known(root, kind, string(b))
		},
		Data: func(h *tar.Header, r io.Reader) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			// As apk does: what begins with a dot says something to it, and these keep an empty folder.
			if strings.HasPrefix(h.Name, ".") && !strings.HasPrefix(h.Name, "./") && !strings.HasPrefix(h.Name, "..") || strings.HasPrefix(path.Base(h.Name), ".keep_") {
				return nil
			}
			return in.add(t, h, r)
		},
	})
}

// add adds the entry h of the package to t.
func (in *apkInstalled) add(t *tree, h *tar.Header, r io.Reader) error {
	if h.Uid < 0 || h.Uid >= idLimit || h.Gid < 0 || h.Gid >= idLimit {
		return errs.Errorf(errs.Untrusted, "%s is of user %d and group %d", h.Name, h.Uid, h.Gid)
	}
	sum := sha1.New()
	if err := t.add(in.apkCandidate, h, io.TeeReader(r, sum)); err != nil {
		return err
	}
	name, err := t.clean(h.Name)
	if err != nil {
		return err
	}
	e := t.entries[name]
	f := apkFile{name: name, mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid, uname: h.Uname, gname: h.Gname}
	if h.Typeflag == tar.TypeDir {
		in.dirs = append(in.dirs, &apkDir{apkFile: f})
		return nil
	}
	if e == nil || e.of != owner(in.apkCandidate) {
		return nil // it is another package's
	}
	e.xattrs, f.xattrs = xattrs(h)
	f.name = path.Base(name)
	const key = "APK-TOOLS.checksum.SHA1"
	switch h.Typeflag {
	case tar.TypeReg:
		if said, ok := h.PAXRecords[key]; ok && said != hex.EncodeToString(sum.Sum(nil)) {
			return errs.Errorf(errs.Untrusted, "%s is not what its checksum says", name)
		}
		f.sum = alpine.Checksum(sum.Sum(nil))
	case tar.TypeLink:
		f.sum = in.find(e.target).sum
	case tar.TypeSymlink:
		target := sha1.Sum([]byte(h.Linkname))
		f.sum = alpine.Checksum(target[:])
	}
	d := in.dir(path.Dir(name))
	d.files = append(d.files, &f)
	return nil
}

// dir returns the folder name of the package; "." is the root.
func (in *apkInstalled) dir(name string) *apkDir {
	if name == "." {
		name = ""
	}
	for _, d := range slices.Backward(in.dirs) {
		if d.name == name {
			return d
		}
	}
	d := &apkDir{apkFile: apkFile{name: name, mode: dirMode}}
	in.dirs = append(in.dirs, d)
	return d
}

// find returns the file name of the package; the zero one when there is none.
func (in *apkInstalled) find(name string) apkFile {
	for _, d := range in.dirs {
		if d.name != strings.TrimPrefix(path.Dir(name), ".") {
			continue
		}
		for _, f := range d.files {
			if f.name == path.Base(name) {
				return *f
			}
		}
	}
	return apkFile{}
}

// finish does what matters of the scripts, and writes the database.
func (db *apkDatabase) finish(t *tree, root *Root) error {
	if err := db.own(t); err != nil {
		return err
	}
	for _, in := range db.list {
		if slices.Contains(root.SkipScripts, in.Name) {
			continue
		}
		if do := apkActions[in.Name]; do != nil {
			if err := do(t); err != nil {
				return fmt.Errorf("%s: what its scripts do: %w", in.Name, err)
			}
		} else if dir := in.triggered(t); dir != "" {
			return unknown(in.Name, "trigger, for "+dir)
		}
	}
	world := slices.Concat(root.Packages, alpineAlways)
	for i, w := range world {
		world[i], _, _ = strings.Cut(w, "@")
	}
	for _, name := range root.Exclude {
		world = append(world, "!"+name)
	}
	slices.SortFunc(world, func(a, b string) int { return cmp.Compare(strings.TrimPrefix(a, "!"), strings.TrimPrefix(b, "!")) })
	var triggers strings.Builder
	for _, in := range db.list {
		if len(in.Triggers) > 0 {
			fmt.Fprintf(&triggers, "%s %s\n", alpine.Checksum(in.Package.Control[:]), strings.Join(in.Triggers, " "))
		}
	}
	scripts, err := db.scripts()
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, text string }{
		{"etc/apk/arch", db.arch + "\n"},
		{"etc/apk/world", strings.Join(slices.Compact(world), "\n") + "\n"},
		{"lib/apk/db/installed", db.installed(t)},
		{"lib/apk/db/scripts.tar", scripts},
		{"lib/apk/db/triggers", triggers.String()},
	} {
		if err := t.write(f.name, fileMode, []byte(f.text)); err != nil {
			return err
		}
	}
	return nil
}

// own gives the files to the users and groups that the root knows by the names that the packages say.
func (db *apkDatabase) own(t *tree) error {
	users, err := ids(t, "etc/passwd")
	if err != nil {
		return err
	}
	groups, err := ids(t, "etc/group")
	if err != nil {
		return err
	}
	give := func(f *apkFile, name string) {
		if id, known := users[f.uname]; known {
			f.uid = id
		}
		if id, known := groups[f.gname]; known {
			f.gid = id
		}
		if e := t.entries[name]; e != nil {
			e.uid, e.gid = f.uid, f.gid
		}
	}
	for _, in := range db.list {
		for _, d := range in.dirs {
			give(&d.apkFile, d.name)
			for _, f := range d.files {
				if name := path.Join(d.name, f.name); t.entries[name].of == owner(in.apkCandidate) {
					give(f, name)
				}
			}
		}
	}
	return nil
}

// ids returns the numbers in the file name, which is like etc/passwd, by their names.
func ids(t *tree, name string) (map[string]int, error) {
	all := map[string]int{}
	if !t.has(name) {
		return all, nil
	}
	b, err := t.read(name)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		const number = 2
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) <= number {
			continue
		}
		if id, err := strconv.Atoi(fields[number]); err == nil && id >= 0 && id < idLimit {
			all[fields[0]] = id
		}
	}
	return all, nil
}

// installed returns the text of lib/apk/db/installed: a record for each package, by name.
func (db *apkDatabase) installed(t *tree) string {
	var out strings.Builder
	byName := slices.Clone(db.list)
	slices.SortFunc(byName, func(a, b *apkInstalled) int { return cmp.Compare(a.Name, b.Name) })
	for _, in := range byName {
		p := in.Info
		line := func(letter byte, value string) {
			if value != "" || letter == 'T' || letter == 'U' || letter == 'L' {
				fmt.Fprintf(&out, "%c:%s\n", letter, value)
			}
		}
		priority := func(letter byte, n int) {
			if n > 0 {
				line(letter, strconv.Itoa(n))
			}
		}
		line('C', alpine.Checksum(p.Package.Control[:]))
		line('P', p.Name)
		line('V', p.Version)
		line('A', path.Base(path.Dir(in.key)))
		line('S', strconv.FormatInt(p.Package.Size, 10))
		line('I', cmp.Or(p.Text['I'], "0"))
		for _, letter := range []byte("TUL") {
			line(letter, p.Text[letter])
		}
		line('o', p.Origin)
		for _, letter := range []byte("mtc") {
			line(letter, p.Text[letter])
		}
		priority('k', p.ProviderPriority)
		line('D', words(p.Depends))
		line('p', words(p.Provides))
		line('i', words(p.InstallIf))
		line('r', words(p.Replaces))
		priority('q', p.ReplacesPriority)
		for _, d := range in.dirs {
			fmt.Fprintf(&out, "F:%s\n", d.name)
			if d.mode != dirMode || d.uid != 0 || d.gid != 0 {
				fmt.Fprintf(&out, "M:%d:%d:%o\n", d.uid, d.gid, d.mode)
			}
			for _, f := range d.files {
				if t.entries[path.Join(d.name, f.name)].of != owner(in.apkCandidate) {
					continue // a package that came later has it
				}
				fmt.Fprintf(&out, "R:%s\n", f.name)
				if f.mode != fileMode || f.uid != 0 || f.gid != 0 || f.xattrs != "" {
					fmt.Fprintf(&out, "a:%d:%d:%o%s\n", f.uid, f.gid, f.mode, f.xattrs)
				}
				if f.sum != "" {
					fmt.Fprintf(&out, "Z:%s\n", f.sum)
				}
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func words(list []alpine.Dependency) string {
	var all []string
	for _, d := range list {
		all = append(all, d.String())
	}
	return strings.Join(all, " ")
}

// scripts returns lib/apk/db/scripts.tar: all scripts, which apk runs when a package goes or changes.
func (db *apkDatabase) scripts() (string, error) {
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	for _, in := range db.list {
		seconds, err := strconv.ParseInt(cmp.Or(in.Text['t'], "0"), 10, 64)
		if err != nil {
			return "", errs.Errorf(errs.Untrusted, "%s was built at %.20q", in.Name, in.Text['t'])
		}
		slices.SortFunc(in.scripts, func(a, b apkScript) int {
			return cmp.Compare(slices.Index(apkScripts, a.name), slices.Index(apkScripts, b.name))
		})
		for _, s := range in.scripts {
			name := fmt.Sprintf("%s-%s.%s.%s", in.Name, in.Version, alpine.Checksum(in.Package.Control[:]), s.name)
			const scriptMode = 0o755
			h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: scriptMode, Size: int64(len(s.text)), Uname: "root", Gname: "root", ModTime: time.Unix(seconds, 0)}
			if err := out.WriteHeader(h); err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			if _, err := io.WriteString(out, s.text); err != nil {
				return "", err
			}
		}
	}
	err := out.Close()
	return b.String(), err
}

// xattrs returns those of h that a root file system keeps, and what the database writes of them. A capability is the only one that
// programs need to do their work.
func xattrs(h *tar.Header) (map[string]string, string) {
	const prefix, name = "SCHILY.xattr.", "security.capability"
	v, ok := h.PAXRecords[prefix+name]
	if !ok {
		return nil, ""
	}
	sum := sha1.New()
	for _, part := range []string{name, v} {
		_ = binary.Write(sum, binary.BigEndian, uint32(len(part)))
		_, _ = io.WriteString(sum, part)
	}
	return map[string]string{prefix + name: v}, ":" + alpine.Checksum(sum.Sum(nil))
}
