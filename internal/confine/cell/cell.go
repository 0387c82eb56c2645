package cell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"overland/internal/confine"
	"overland/internal/errs"
)

// Isolation is how a command is kept from the machine.
type Isolation string

// The isolations.
const (
	Full Isolation = "full" // in a cell
	None Isolation = "none" // not at all: it is a child of this process like any other
)

// Parse returns the Isolation that s names; "" is Full.
func Parse(s string) (Isolation, error) {
	switch i := Isolation(cmp.Or(s, string(Full))); i {
	case Full, None:
		return i, nil
	}
	return "", errs.Hint(errs.Errorf(errs.Invalid, "isolation %.60q", s), "full or none")
}

// User is the machine's user and group of a command that root starts: nothing else runs as it.
const User = 61000

// inside is the user and group that a command sees itself as.
const inside = 1000

// inMemory is how large a folder in memory may become, in bytes.
const inMemory = 256 << 20

// Options says what a command is and sees. Everything is at the same path inside.
type Options struct {
	Command []string // a program, looked up in PATH of Environ, and its arguments
	Environ []string // nothing else is inherited
	Dir     string   // working folder; "" = "/"

	// Own are folders that were made for this command: it may write there, and when root starts it
	// they become its user's, with all that is in them.
	Own []string
	// Write are the caller's own folders in which it may write. When root starts it, it is the owner
	// of the first one.
	Write []string
	// At are folders below the first of Own, by the path at which the command sees each as well.
	At   map[string]string
	Read []string // files and folders, read-only; those that are missing are left out
	Hide []string // folders that look empty, though they lie in one that is shown
	Tmp  string   // what it sees as /tmp, one of Own; "" = a folder in memory

	Stdin          io.Reader // nil = empty
	Stdout, Stderr io.Writer // nil = thrown away; a terminal or a pipe is handed over, other files are copied to

	Limits confine.Limits
	Grace  time.Duration // how long it may take to end when the context ends; 0 = it is killed

	// Listen, when it is set, is called with a listener on the command's loopback interface, before
	// it runs, and returns what Environ is extended with. ListenAt is its address; "" = any port.
	Listen   func(l net.Listener) ([]string, error)
	ListenAt string
}

// Run runs a command in a cell and returns how it ended, when all that it started has ended too, and
// what was done to confine it. Errors: a *confine.LimitError; kind Denied, with a hint, when the
// machine cannot confine; that of ctx.
func Run(ctx context.Context, o Options) (confine.Exit, confine.Applied, error) {
	s, err := Spec(o)
	if err != nil {
		return confine.Exit{}, confine.Applied{}, err
	}
	p, err := confine.Start(ctx, s)
	if err != nil {
		return confine.Exit{}, confine.Applied{}, Explain(err)
	}
	exit, err := p.Wait()
	return exit, p.Applied, err
}

// Explain gives an error of confine its kind and hint.
func Explain(err error) error {
	var unable *confine.UnableError
	if !errors.As(err, &unable) {
		return err
	}
	return errs.Hint(errs.E(errs.Denied, err), "%s; or --isolation none, which lets it see all that you see, and which a release records", unable.Remedy)
}

// Spec returns how o runs. Its Prepare gives the folders in o.Own to the command's user.
func Spec(o Options) (confine.Spec, error) {
	if len(o.Command) == 0 {
		return confine.Spec{}, errors.New("no command to run")
	}
	user, err := o.user()
	if err != nil {
		return confine.Spec{}, err
	}
	mounts, environ, err := o.mounts()
	if err != nil {
		return confine.Spec{}, err
	}
	stdout, stderr := o.outputs()
	s := confine.Spec{
		Path: o.Command[0], Args: o.Command, Dir: o.Dir,
		Stdin: o.Stdin, Stdout: stdout, Stderr: stderr,
		Mounts: mounts, User: user, NoSetID: true, Limits: o.Limits, Grace: o.Grace,
	}
	if o.Listen == nil {
		s.Env = merge(environ, o.Environ)
		return s, o.give(user)
	}
	s.Listen = cmp.Or(o.ListenAt, "127.0.0.1:0")
	s.Prepare = func(l net.Listener) ([]string, error) {
		more, err := o.Listen(l)
		return merge(environ, o.Environ, more), errors.Join(err, o.give(user))
	}
	return s, nil
}

// outputs returns what is written to in the place of o.Stdout and o.Stderr: for a file or a disk of the caller's
// the command gets a pipe, one for both when they are the same. Who has a file may open it again, by
// /proc/self/fd: to read it, and to change what others wrote there before.
func (o *Options) outputs() (stdout, stderr io.Writer) {
	stored := func(w io.Writer) (*os.File, fs.FileInfo) {
		if f, ok := w.(*os.File); ok && f != nil {
			if info, err := f.Stat(); err == nil && (info.Mode().IsRegular() || info.Mode()&(fs.ModeDevice|fs.ModeCharDevice) == fs.ModeDevice) {
				return f, info
			}
		}
		return nil, nil
	}
	stdout, stderr = o.Stdout, o.Stderr
	out, outInfo := stored(stdout)
	if out != nil {
		stdout = &struct{ io.Writer }{out}
	}
	if e, info := stored(stderr); e != nil {
		stderr = &struct{ io.Writer }{e}
		if out != nil && os.SameFile(info, outInfo) {
			stderr = stdout // what comes first stands first
		}
	}
	return stdout, stderr
}

// merge returns the variables of lists; of one that is set twice the last value.
func merge(lists ...[]string) []string {
	set := map[string]string{}
	for _, kv := range slices.Concat(lists...) {
		name, value, _ := strings.Cut(kv, "=")
		set[name] = value
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		all = append(all, name+"="+set[name])
	}
	return all
}

// user returns who the command is.
func (o *Options) user() (confine.User, error) {
	u := confine.User{ID: inside, Group: inside}
	if os.Geteuid() != 0 {
		return u, nil
	}
	u.HostID, u.HostGroup = User, User
	if len(o.Write) > 0 {
		var err error
		if u.HostID, u.HostGroup, err = owner(o.Write[0]); err != nil {
			return u, err
		}
	}
	return u, nil
}

// mounts returns the private root of the command, and the variables that its programs need there.
func (o *Options) mounts() ([]confine.Mount, []string, error) {
	system, err := confine.System()
	if err != nil {
		return nil, nil, err
	}
	var list []confine.Mount
	for _, m := range system {
		switch {
		case m.Target == "/tmp" && o.Tmp != "":
			m = confine.Mount{Kind: confine.Bind, Source: o.Tmp, Target: m.Target, Writable: true}
		case m.Kind == confine.Temp:
			m.Size = inMemory
		}
		list = append(list, m)
	}
	for _, dir := range settingsFolders() {
		list = append(list, withoutSettings(dir)...)
	}
	list = append(list, etcMounts("/etc")...)
	tools := newTools(o.Environ)
	tools.add(o.Command[0], o.Dir)
	more := tools.mounts
	for _, path := range o.Read {
		more = append(more, confine.Mount{Kind: confine.Optional, Source: path, Target: filepath.Clean(path)})
	}
	for _, path := range slices.Concat(o.Own, o.Write) {
		more = append(more, confine.Mount{Kind: confine.Bind, Source: path, Target: filepath.Clean(path), Writable: true})
	}
	for path, from := range o.At {
		more = append(more, confine.Mount{Kind: confine.Bind, Source: from, Target: filepath.Clean(path), Writable: true})
	}
	for _, path := range o.Hide {
		if _, err := os.Lstat(path); err == nil && covered(more, path) {
			more = append(more, confine.Mount{Kind: confine.Temp, Target: filepath.Clean(path), Size: inMemory})
		}
	}
	// What lies in another comes after it; of two at one path the one that may be written.
	if err := o.inTmp(more); err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(more, func(a, b confine.Mount) int { return cmp.Compare(depth(a.Target), depth(b.Target)) })
	return append(append(list, more...), files()...), tools.environ, nil
}

// inTmp makes what is missing in the folder that the command sees as /tmp: what is shown below it.
// Links that an earlier command left there lead nowhere else.
func (o *Options) inTmp(mounts []confine.Mount) error {
	if o.Tmp == "" {
		return nil
	}
	root, err := os.OpenRoot(o.Tmp)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, m := range mounts {
		rel, err := filepath.Rel("/tmp", m.Target)
		if err != nil || !filepath.IsLocal(rel) || rel == "." {
			continue
		}
		info, err := os.Stat(m.Source)
		if m.Source != "" && err != nil {
			continue // it is left out
		}
		if err := target(root, rel, m.Source == "" || info.IsDir()); err != nil {
			return err
		}
	}
	return nil
}

// target makes the folder or the empty file name in root, unless it is there.
func target(root *os.Root, name string, dir bool) error {
	const mode = 0o755
	if dir {
		return root.MkdirAll(name, mode)
	}
	if err := root.MkdirAll(filepath.Dir(name), mode); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func depth(path string) int { return strings.Count(path, "/") }

// covered reports whether path lies in one of mounts.
func covered(mounts []confine.Mount, path string) bool {
	return slices.ContainsFunc(mounts, func(m confine.Mount) bool { return below(path, m.Target) })
}

// below reports whether path is dir or lies in it.
func below(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// files are what of /etc is made for the command.
func files() []confine.Mount {
	text := map[string]string{
		"passwd": fmt.Sprintf("root:x:0:0:root:/:/bin/sh\nbuild:x:%d:%[1]d:build:/:/bin/sh\nbuild:x:%d:%[2]d:build:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
			inside, User),
		"group":         fmt.Sprintf("root:x:0:\nbuild:x:%d:\nbuild:x:%d:\nnogroup:x:65534:\n", inside, User),
		"hosts":         "127.0.0.1 localhost overland\n::1 localhost\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"resolv.conf":   "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
	}
	var list []confine.Mount
	for name, content := range text {
		list = append(list, confine.Mount{Kind: confine.File, Target: "/etc/" + name, Content: []byte(content)})
	}
	return list
}
