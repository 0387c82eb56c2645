package maintscript

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"mvdan.cc/sh/v3/interp"

	"overland/internal/fsx"
)

// command is what is done for a command of scripts.
type command struct {
	do         func(c *call) error
	everywhere bool // it is done whether or not the root has it: every Debian machine does
	reads      bool // what is piped to it
}

// output is what a command prints. What is beyond outputLimit is left out: then it has failed.
type output struct {
	b    bytes.Buffer
	over bool
}

func (o *output) Write(b []byte) (int, error) {
	if o.over = o.over || o.b.Len()+len(b) > outputLimit; !o.over {
		o.b.Write(b)
	}
	return len(b), nil
}

func (o *output) print(s string) { _, _ = io.WriteString(o, s) }

// call is a command while it is done.
type call struct {
	*run
	name   string
	args   []string // without its name
	dir    string   // the working folder, "/…"
	mask   fs.FileMode
	in     []byte
	out    output
	err    io.Writer
	status uint8
	ended  func() error // why it is too late to go on; nil = it is not
}

// commands are by name.
var commands map[string]command

func init() { // it calls itself: which, xargs
	commands = map[string]command{
		"cp": {do: copyFiles, everywhere: true}, "mv": {do: move, everywhere: true}, "ln": {do: link, everywhere: true},
		"rm": {do: remove, everywhere: true}, "rmdir": {do: removeFolder, everywhere: true}, "mkdir": {do: makeFolder, everywhere: true},
		"touch": {do: touch, everywhere: true}, "chmod": {do: changeMode, everywhere: true}, "chown": {do: changeOwner, everywhere: true},
		"chgrp": {do: changeOwner, everywhere: true}, "install": {do: install, everywhere: true}, "readlink": {do: readLink, everywhere: true},
		"realpath": {do: realPath, everywhere: true}, "dpkg-realpath": {do: realPath, everywhere: true}, "basename": {do: baseName, everywhere: true},
		"dirname": {do: dirName, everywhere: true}, "id": {do: id, everywhere: true}, "which": {do: which, everywhere: true}, "ls": {do: listFiles, everywhere: true},
		"find": {do: findFiles, everywhere: true}, "stat": {do: status, everywhere: true}, "sleep": {do: nothing, everywhere: true}, "sync": {do: nothing, everywhere: true},

		"cat": {do: cat, everywhere: true, reads: true}, "grep": {do: grep, everywhere: true, reads: true}, "egrep": {do: grep, everywhere: true, reads: true},
		"fgrep": {do: grep, everywhere: true, reads: true}, "sed": {do: sed, everywhere: true, reads: true}, "cut": {do: cut, everywhere: true, reads: true},
		"head": {do: head, everywhere: true, reads: true}, "tr": {do: translate, everywhere: true, reads: true}, "sort": {do: sortLines, everywhere: true, reads: true},
		"uniq": {do: unique, everywhere: true, reads: true}, "md5sum": {do: checksum, everywhere: true, reads: true}, "sha512sum": {do: checksum, everywhere: true, reads: true},
		"sha256sum": {do: checksum, everywhere: true, reads: true}, "cmp": {do: compare, everywhere: true, reads: true}, "seq": {do: sequence, everywhere: true},

		"dpkg": {do: dpkg, everywhere: true}, "dpkg-query": {do: dpkgQuery, everywhere: true}, "dpkg-divert": {do: divert, everywhere: true},
		"dpkg-maintscript-helper": {do: nothing, everywhere: true}, // for what an older version left
		"dpkg-statoverride":       {do: statOverride, everywhere: true}, "dpkg-trigger": {do: trigger, everywhere: true},
		"update-alternatives": {do: updateAlternatives, everywhere: true},
		"debconf":             {do: debconf, everywhere: true}, "ucf": {do: ucf}, "ucfr": {do: nothing},

		"getent": {do: getent, everywhere: true}, "groupadd": {do: addGroup}, "useradd": {do: addUser}, "adduser": {do: adduser}, "addgroup": {do: adduser},
		"usermod": {do: changeUser}, "shadowconfig": {do: shadow}, "pam-auth-update": {do: pamUpdate},

		// Nothing runs: no service is enabled, started, told, or asked.
		"update-rc.d": {do: noServices, everywhere: true}, "invoke-rc.d": {do: noServices, everywhere: true}, "deb-systemd-helper": {do: noServices, everywhere: true},
		"deb-systemd-invoke": {do: noServices, everywhere: true}, "service": {do: noServices, everywhere: true},
		// Made again by whoever needs it.
		"py3compile": {do: nothing}, "py3clean": {do: nothing}, "update-mime": {do: nothing}, "update-menus": {do: nothing}, "update-icon-caches": {do: nothing},
		"ldconfig": {do: linkerCache, everywhere: true},
		"python3":  {do: python},
		"ischroot": {do: nothing, everywhere: true}, // it is one
		// No file system here keeps capabilities, and scripts know what to do then.
		"setcap": {do: no}, "getcap": {do: nothing},
		"mountpoint": {do: no, everywhere: true}, "expr": {do: expression, everywhere: true}, "uname": {do: system, everywhere: true}, "date": {do: date, everywhere: true},
	}
}

// essential are commands that every Debian machine has and that are not done here, so "not found" would be wrong.
var essential = func() map[string]bool {
	all := map[string]bool{}
	for _, name := range strings.Fields(`awk base64 bash chattr chgrp comm csplit dd debconf-set-selections df diff dir dircolors dpkg-deb dpkg-split du env expand
		factor findmnt flock fold getconf groups gunzip gzip hostname iconv join link localedef logger logname lsattr mawk md5sum mkfifo mknod mktemp mount
		nice nl nohup nproc numfmt od paste pathchk perl printenv pwd rev runuser setpriv setsid sh sha1sum sha224sum sha384sum shred shuf split stdbuf stty sum tabs tac
		tail tar tee tempfile timeout tput truncate tsort tty umount unexpand unlink users vdir wc whoami xargs yes zcat sync update-passwd chroot
		add-shell remove-shell update-shells run-parts start-stop-daemon dpkg-architecture perl5 sysctl`) {
		all[name] = true
	}
	return all
}()

func nothing(*call) error { return nil }

func no(*call) error { return exit(1) }

// python compiles files, which it does again when it needs them; nothing else.
func python(c *call) error {
	if slices.ContainsFunc(c.args, func(a string) bool { return path.Base(a) == "py_compile.py" }) {
		return nil
	}
	return c.cannot()
}

// expression is expr for sums of two numbers.
func expression(c *call) error {
	if len(c.args) != 3 {
		return c.cannot()
	}
	a, err1 := strconv.Atoi(c.args[0])
	b, err2 := strconv.Atoi(c.args[2])
	switch op := c.args[1]; {
	case err1 != nil, err2 != nil, op != "+" && op != "-":
		return c.cannot()
	case op == "-":
		b = -b
	}
	if err := c.printf("%d\n", a+b); err != nil || a+b != 0 {
		return err
	}
	return exit(1)
}

// date answers with the day of the root.
func date(c *call) error {
	f := c.options()
	f.StringP("date", "d", "", "")
	args, err := c.parse(f)
	if err != nil || len(args) > 0 {
		return cmp.Or(err, c.cannot())
	}
	return c.printf("%s\n", time.Unix(c.day*daySeconds, 0).UTC().Format(time.UnixDate))
}

// system answers uname: the kernel is Linux, of no known version.
func system(c *call) error {
	machines := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "armhf": "armv7l", "armel": "armv5tel"}
	switch strings.Join(c.args, " ") {
	case "", "-s":
		return c.printf("Linux\n")
	case "-m":
		if m := machines[c.of.Architecture]; m != "" {
			return c.printf("%s\n", m)
		}
	}
	return c.cannot()
}

// options returns the options of c, which a command declares and then parses; what it does not declare is not done here.
func (c *call) options() *pflag.FlagSet {
	f := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	f.Usage = func() {}
	f.SetOutput(io.Discard)
	return f
}

// parse returns the arguments that are no options.
func (c *call) parse(f *pflag.FlagSet) ([]string, error) {
	if err := f.Parse(c.args); err != nil {
		return nil, c.cannot()
	}
	return f.Args(), nil
}

// cannot is the error for arguments of a known command that are not.
func (c *call) cannot() error {
	return &UnknownError{"it runs " + strings.Join(append([]string{c.name}, c.args...), " ")}
}

func (c *call) printf(format string, a ...any) error {
	fmt.Fprintf(&c.out, format, a...)
	return nil
}

func exit(code uint8) error { return interp.ExitStatus(code) }

// into returns the name of what src becomes when it is put to dst, which may be a folder.
func (c *call) into(src, dst string, whole bool) (string, error) {
	name, f, err := c.root.find(c.dir, dst, true)
	if err == nil && f.Mode.IsDir() && !whole {
		return path.Join(name, path.Base(src)), nil
	}
	return c.root.name(c.dir, dst, false)
}

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

func readLink(c *call) error {
	f := c.options()
	whole, exists := f.BoolP("canonicalize", "f", false, ""), f.BoolP("canonicalize-existing", "e", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) != 1 {
		return cmp.Or(err, c.cannot())
	}
	if *whole || *exists {
		name, _, err := c.root.find(c.dir, args[0], true)
		if err != nil && (*exists || name == "") {
			return exit(1)
		}
		return c.printf("/%s\n", name)
	}
	_, file, err := c.root.find(c.dir, args[0], false)
	if err != nil || file.Mode&fs.ModeSymlink == 0 {
		return exit(1)
	}
	return c.printf("%s\n", file.Target)
}

func realPath(c *call) error {
	f := c.options()
	missing, lexical := f.BoolP("canonicalize-missing", "m", false, ""), f.BoolP("strip", "s", false, "")
	root := f.String("root", "", "")
	args, err := c.parse(f)
	if err != nil || len(args) != 1 || *missing != *lexical || *root != "" {
		return cmp.Or(err, c.cannot())
	}
	if *lexical {
		return c.printf("%s\n", path.Join("/", c.dir, args[0]))
	}
	name, err := c.root.name(c.dir, args[0], true)
	if err != nil {
		return err
	}
	return c.printf("/%s\n", name)
}

func baseName(c *call) error {
	if len(c.args) < 1 || len(c.args) > 2 || strings.HasPrefix(c.args[0], "-") {
		return c.cannot()
	}
	name := path.Base(c.args[0])
	if len(c.args) == 2 && name != c.args[1] {
		name = strings.TrimSuffix(name, c.args[1])
	}
	return c.printf("%s\n", name)
}

func dirName(c *call) error {
	args, err := c.parse(c.options())
	if err != nil || len(args) == 0 {
		return cmp.Or(err, c.cannot())
	}
	for _, p := range args {
		if trimmed := strings.TrimRight(p, "/"); trimmed != "" {
			p = trimmed
		}
		fmt.Fprintf(&c.out, "%s\n", path.Dir(p))
	}
	return nil
}

func which(c *call) error {
	var code uint8
	for _, name := range c.args {
		switch {
		case c.program(c.dir, name) != "":
			at := name
			if !strings.Contains(name, "/") {
				for _, d := range []string{"/bin", "/sbin", "/usr/bin", "/usr/sbin"} {
					if c.program("/", path.Join(d, name)) != "" {
						at = path.Join(d, name)
					}
				}
			}
			fmt.Fprintf(&c.out, "%s\n", at)
		case commands[name].everywhere || essential[name] || interp.IsBuiltin(name):
			fmt.Fprintf(&c.out, "/usr/bin/%s\n", name)
		default:
			code = 1
		}
	}
	if code != 0 {
		return exit(code)
	}
	return nil
}

func listFiles(c *call) error {
	f := c.options()
	f.BoolP("1", "1", false, "")
	f.BoolP("dereference", "L", false, "")
	all := f.BoolP("almost-all", "A", false, "")
	args, err := c.parse(f)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"."}
	}
	for _, p := range args {
		name, file, err := c.root.find(c.dir, p, true)
		if err != nil {
			return err
		}
		if !file.Mode.IsDir() {
			fmt.Fprintf(&c.out, "%s\n", p)
			continue
		}
		if len(args) > 1 {
			return c.cannot()
		}
		for _, one := range c.root.List(name) {
			if *all || one[0] != '.' {
				fmt.Fprintf(&c.out, "%s\n", one)
			}
		}
	}
	return nil
}

func status(c *call) error {
	f := c.options()
	format, follow := f.StringP("format", "c", "", ""), f.BoolP("dereference", "L", false, "")
	args, err := c.parse(f)
	if err != nil || len(args) != 1 {
		return cmp.Or(err, c.cannot())
	}
	_, file, err := c.root.find(c.dir, args[0], *follow)
	if err != nil {
		return err
	}
	text := strings.NewReplacer("%a", strconv.FormatInt(fsx.ModeBits(file.Mode), 8), "%u", strconv.Itoa(file.UID), "%g", strconv.Itoa(file.GID),
		"%U", c.called("passwd", file.UID), "%G", c.called("group", file.GID), "%s", strconv.FormatInt(file.Size, 10), "%n", args[0]).Replace(*format)
	if *format == "" || strings.Contains(text, "%") {
		return c.cannot()
	}
	return c.printf("%s\n", text)
}

// noServices does nothing unless the root has what would run services: then it would be wrong to leave them out.
func noServices(c *call) error {
	for _, p := range []string{"/usr/lib/systemd/systemd", "/usr/sbin/init"} {
		if _, _, err := c.root.find("/", p, true); err == nil {
			return &UnknownError{fmt.Sprintf("it runs %s in a root that has %s", c.name, p)}
		}
	}
	return nil
}
