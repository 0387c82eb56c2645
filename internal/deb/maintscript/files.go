package maintscript

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"overland/internal/fsx"
)

// What scripts call to change files: cp, install, chmod and the like.

// errSecurity is for -Z, as on a kernel without SELinux.
var errSecurity = errors.New("no security contexts here")

func copyFiles(c *call) error {
	f := c.options()
	archive, links := f.BoolP("archive", "a", false, ""), f.BoolP("no-dereference", "d", false, "")
	deep, deeper := f.BoolP("recursive", "R", false, ""), f.BoolP("r", "r", false, "")
	keep, whole, tame := f.BoolP("preserve", "p", false, ""), f.BoolP("no-target-directory", "T", false, ""), f.BoolP("no-clobber", "n", false, "")
	security := f.BoolP("Z", "Z", false, "")
	f.BoolP("force", "f", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) < 2 {
		return cmp.Or(err, c.cannot())
	}
	if *security {
		return errSecurity
	}
	for _, src := range args[:len(args)-1] {
		name, file, err := c.root.find(c.dir, src, !*links && !*archive)
		if err != nil {
			return err
		}
		to, err := c.into(src, args[len(args)-1], *whole)
		if err != nil {
			return err
		}
		if _, there := c.root.Get(to); there && *tame {
			continue
		}
		if file.Mode.IsDir() && !*archive && !*deep && !*deeper {
			return fmt.Errorf("%s is a directory", src)
		}
		err = c.root.walk(name, func(one string, f File) error {
			at := to + strings.TrimPrefix(one, name)
			if !*archive && !*keep {
				f.UID, f.GID = 0, 0
				f.Mode &= fs.ModeType | fs.ModePerm
			}
			if old, there := c.root.Get(at); there && old.Mode.IsDir() && f.Mode.IsDir() {
				return nil
			}
			var b []byte
			if f.Mode.IsRegular() {
				var err error
				if b, err = c.root.Read(one); err != nil {
					return err
				}
				b = append([]byte{}, b...)
			}
			return c.root.Put(at, f, b)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func move(c *call) error {
	f := c.options()
	f.BoolP("force", "f", false, "")
	tame, whole := f.BoolP("no-clobber", "n", false, ""), f.BoolP("no-target-directory", "T", false, "")
	security := f.BoolP("Z", "Z", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) < 2 {
		return cmp.Or(err, c.cannot())
	}
	if *security {
		return errSecurity
	}
	for _, src := range args[:len(args)-1] {
		from, _, err := c.root.find(c.dir, src, false)
		if err != nil {
			return err
		}
		to, err := c.into(src, args[len(args)-1], *whole)
		if err != nil {
			return err
		}
		if _, there := c.root.Get(to); there && *tame {
			continue
		}
		if err := c.root.Rename(from, to); err != nil {
			return err
		}
	}
	return nil
}

func link(c *call) error {
	f := c.options()
	soft, force := f.BoolP("symbolic", "s", false, ""), f.BoolP("force", "f", false, "")
	asIs, whole := f.BoolP("no-dereference", "n", false, ""), f.BoolP("no-target-directory", "T", false, "")
	f.BoolP("verbose", "v", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) != 2 || !*soft {
		return cmp.Or(err, c.cannot())
	}
	name, err := c.root.name(c.dir, args[1], false)
	if err != nil {
		return err
	}
	if !*whole {
		at, file, err := c.root.find(c.dir, args[1], !*asIs)
		if err == nil && file.Mode.IsDir() {
			name = path.Join(at, path.Base(args[0]))
		}
	}
	if _, there := c.root.Get(name); there {
		if !*force {
			return &fs.PathError{Op: "symlink", Path: args[1], Err: fs.ErrExist}
		}
		c.root.Remove(name)
	}
	return c.root.Put(name, File{Mode: fs.ModeSymlink | fs.ModePerm, Target: args[0]}, nil)
}

func remove(c *call) error {
	f := c.options()
	force, deep, deeper := f.BoolP("force", "f", false, ""), f.BoolP("recursive", "r", false, ""), f.BoolP("R", "R", false, "")
	f.BoolP("verbose", "v", false, "")
	args, err := c.parse(f)
	if err != nil {
		return err
	}
	for _, p := range args {
		name, file, err := c.root.find(c.dir, p, false)
		switch {
		case err != nil && *force:
			continue
		case err != nil:
			return err
		case name == "":
			return fmt.Errorf("it is the root")
		case file.Mode.IsDir() && !*deep && !*deeper:
			return fmt.Errorf("%s is a directory", p)
		}
		c.root.Remove(name)
	}
	return nil
}

func removeFolder(c *call) error {
	f := c.options()
	full, parents := f.Bool("ignore-fail-on-non-empty", false, ""), f.BoolP("parents", "p", false, "")
	f.BoolP("verbose", "v", false, "")
	args, err := c.parse(f)
	if err != nil {
		return err
	}
	for _, p := range args {
		name, file, err := c.root.find(c.dir, p, false)
		if err != nil {
			return err
		}
		if !file.Mode.IsDir() {
			return fmt.Errorf("%s is not a directory", p)
		}
		for name != "" && len(c.root.List(name)) == 0 {
			c.root.Remove(name)
			if name = path.Dir(name); !*parents || name == "." {
				name = ""
			}
		}
		if name != "" && !*full {
			return fmt.Errorf("%s is not empty", p)
		}
	}
	return nil
}

func makeFolder(c *call) error {
	f := c.options()
	parents, mode := f.BoolP("parents", "p", false, ""), f.StringP("mode", "m", "755", "")
	f.BoolP("verbose", "v", false, "")
	args, err := c.parse(f)
	if err != nil {
		return err
	}
	for _, p := range args {
		if err := c.folder(p, *parents); err != nil {
			return err
		}
		if f.Changed("mode") {
			if err := c.each([]string{p}, true, false, func(f *File) error { return c.mode(f, *mode) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// folder makes the folder p; parents = and those above it, and one that is there is fine.
func (c *call) folder(p string, parents bool) error {
	const open = 0o755
	if parents {
		if _, f, err := c.root.find(c.dir, p, true); err == nil && f.Mode.IsDir() {
			return nil
		}
		if up := path.Dir(path.Clean(p)); up != "." && up != "/" {
			if err := c.folder(up, true); err != nil {
				return err
			}
		}
	}
	name, err := c.root.name(c.dir, p, false)
	if err != nil {
		return err
	}
	if _, there := c.root.Get(name); there {
		return &fs.PathError{Op: "mkdir", Path: p, Err: fs.ErrExist}
	}
	return c.root.Put(name, File{Mode: fs.ModeDir | open}, nil)
}

func touch(c *call) error {
	f := c.options()
	only := f.BoolP("no-create", "c", false, "")
	f.BoolP("no-dereference", "h", false, "")
	f.StringP("reference", "r", "", "")
	f.StringP("date", "d", "", "")
	args, err := c.parse(f)
	if err != nil {
		return err
	}
	for _, p := range args { // times are the root's, not a script's
		if _, _, err := c.root.find(c.dir, p, false); err == nil || *only {
			continue
		}
		if err := c.root.make(c.dir, p, nil, c.mask); err != nil {
			return err
		}
	}
	return nil
}

func changeMode(c *call) error {
	f := c.options()
	deep := f.BoolP("recursive", "R", false, "")
	f.BoolP("silent", "f", false, "")
	like := f.String("reference", "", "")
	// A mode like -x looks like an option.
	f.ParseErrorsAllowlist.UnknownFlags = true
	args, err := c.parse(f)
	if err == nil && *like != "" {
		return c.likewise(*like, args, func(from File, to *File) { to.Mode = from.Mode })
	}
	if err != nil || len(args) < 2 || len(args)+boolCount(*deep) < len(c.args)-1 {
		return cmp.Or(err, c.cannot())
	}
	return c.each(args[1:], true, *deep, func(file *File) error { return c.mode(file, args[0]) })
}

// each changes the files called names, and with deep what is below them. follow = what links at their ends lead to.
func (c *call) each(names []string, follow, deep bool, change func(*File) error) error {
	one := func(name string, file File) error {
		switch err := change(&file); {
		case errors.Is(err, errStays):
			return nil
		case err != nil:
			return err
		}
		return c.root.Put(name, file, nil)
	}
	for _, p := range names {
		name, file, err := c.root.find(c.dir, p, follow)
		switch {
		case err != nil:
		case name == "":
			return c.cannot() // the root has no entry
		case deep:
			err = c.root.walk(name, one)
		default:
			err = one(name, file)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// errStays is what a change of each returns for a file that it leaves alone.
var errStays = errors.New("it stays as it is")

// likewise changes the files called names to be as the one called like.
func (c *call) likewise(like string, names []string, change func(from File, to *File)) error {
	_, from, err := c.root.find(c.dir, like, true)
	if err != nil {
		return err
	}
	return c.each(names, true, false, func(to *File) error {
		change(from, to)
		return nil
	})
}

func boolCount(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mode gives file the mode that text says. A link has none of its own.
func (c *call) mode(file *File, text string) error {
	if file.Mode&fs.ModeSymlink != 0 {
		return errStays
	}
	mode, ok := modeOf(file.Mode, text)
	if !ok {
		return c.cannot()
	}
	file.Mode = mode
	return nil
}

// modeOf returns what chmod's text makes of mode: "2755", "u+s,go-w".
func modeOf(mode fs.FileMode, text string) (fs.FileMode, bool) {
	if n, err := strconv.ParseUint(text, 8, 16); err == nil {
		if n > 0o7777 {
			return 0, false
		}
		m := mode&fs.ModeType | fsx.Mode(int64(n))
		if mode.IsDir() && len(strings.TrimLeft(text, "0")) < 4 { // a folder keeps these unless they are named
			m |= mode & (fs.ModeSetuid | fs.ModeSetgid)
		}
		return m, true
	}
	for _, one := range strings.Split(text, ",") {
		at := strings.IndexAny(one, "+-=")
		if at < 0 || strings.Trim(one[:at], "ugoa") != "" || strings.Trim(one[at+1:], "rwxXst") != "" {
			return 0, false
		}
		who := one[:at]
		if who == "" || strings.Contains(who, "a") {
			who = "ugo"
		}
		var set, all int64
		for _, w := range who {
			shift := map[rune]int{'u': 6, 'g': 3, 'o': 0}[w]
			all |= 7 << shift
			for _, p := range one[at+1:] {
				switch {
				case p == 'r':
					set |= 4 << shift
				case p == 'w':
					set |= 2 << shift
				case p == 'x', p == 'X' && (mode.IsDir() || mode&0o111 != 0):
					set |= 1 << shift
				case p == 's' && w == 'u':
					set |= 0o4000
				case p == 's' && w == 'g':
					set |= 0o2000
				case p == 't':
					set |= 0o1000
				}
			}
		}
		switch m := fsx.Mode(set); one[at] {
		case '+':
			mode |= m
		case '-':
			mode &^= m
		default:
			mode = mode&^fs.FileMode(all) | m
		}
	}
	return mode, true
}

func changeOwner(c *call) error {
	f := c.options()
	deep, links := f.BoolP("recursive", "R", false, ""), f.BoolP("no-dereference", "h", false, "")
	like := f.String("reference", "", "")
	args, err := c.parse(f)
	if err == nil && *like != "" {
		return c.likewise(*like, args, func(from File, to *File) { to.UID, to.GID = from.UID, from.GID })
	}
	if err != nil || len(args) < 2 {
		return cmp.Or(err, c.cannot())
	}
	user, group, both := strings.Cut(strings.Replace(args[0], ".", ":", 1), ":")
	if c.name == "chgrp" {
		user, group = "", args[0]
	}
	uid, gid := -1, -1
	if user != "" {
		if uid, err = c.number("passwd", user); err != nil {
			return err
		}
		if both && group == "" { // that of the user
			l, err := c.line("passwd", user)
			if err != nil || len(l) <= groupField {
				return cmp.Or(err, c.cannot())
			}
			group = l[groupField]
		}
	}
	if group != "" {
		if gid, err = c.number("group", group); err != nil {
			return err
		}
	}
	return c.each(args[1:], !*links, *deep, func(file *File) error {
		if uid >= 0 {
			file.UID = uid
		}
		if gid >= 0 {
			file.GID = gid
		}
		if file.Mode.IsRegular() { // as the kernel does
			file.Mode &^= fs.ModeSetuid
			if file.Mode&0o010 != 0 {
				file.Mode &^= fs.ModeSetgid
			}
		}
		return nil
	})
}

func install(c *call) error {
	f := c.options()
	folders, parents, whole := f.BoolP("directory", "d", false, ""), f.BoolP("D", "D", false, ""), f.BoolP("no-target-directory", "T", false, "")
	mode, user, group := f.StringP("mode", "m", "755", ""), f.StringP("owner", "o", "root", ""), f.StringP("group", "g", "root", "")
	f.BoolP("preserve-timestamps", "p", false, "")
	args, err := c.parse(f)
	if err != nil {
		return err
	}
	uid, err := c.number("passwd", *user)
	if err != nil {
		return err
	}
	gid, err := c.number("group", *group)
	if err != nil {
		return err
	}
	finish := func(p string) error {
		return c.each([]string{p}, true, false, func(file *File) error {
			file.UID, file.GID = uid, gid
			return c.mode(file, *mode)
		})
	}
	if *folders {
		for _, p := range args {
			if err := c.folder(p, true); err != nil {
				return err
			}
			if err := finish(p); err != nil {
				return err
			}
		}
		return nil
	}
	if len(args) != 2 {
		return c.cannot()
	}
	b, err := c.file(args[0])
	if err != nil {
		return err
	}
	if *parents {
		if err := c.folder(path.Dir(args[1]), true); err != nil {
			return err
		}
	}
	to, err := c.into(args[0], args[1], *whole)
	if err != nil {
		return err
	}
	const plain = 0o600
	if err := c.root.Put(to, File{Mode: plain}, append([]byte{}, b...)); err != nil {
		return err
	}
	return finish("/" + to)
}
