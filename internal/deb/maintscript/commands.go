package maintscript

import (
	"bytes"
	"cmp"
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

// noServices does nothing unless the root has what would run services: then it would be wrong to leave them out.
func noServices(c *call) error {
	for _, p := range []string{"/usr/lib/systemd/systemd", "/usr/sbin/init"} {
		if _, _, err := c.root.find("/", p, true); err == nil {
			return &UnknownError{fmt.Sprintf("it runs %s in a root that has %s", c.name, p)}
		}
	}
	return nil
}
