package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"overland/internal/appfile"
	"overland/internal/confine"
	"overland/internal/errs"
	"overland/internal/runtime"
)

// spec returns what i is given to see and to use: the least, and what it asks for.
func spec(i runtime.Instance, u runtime.User) (confine.Spec, error) {
	want := i.Spec.Rights
	own := os.Geteuid()
	s := confine.Spec{
		Path: i.Program, Args: append([]string{i.Program}, i.Args...), Env: environment(i, u), Dir: i.Dir,
		Network: confine.NetworkHost, Privileged: want.Isolation == appfile.NoIsolation, Bare: want.Isolation == appfile.NoIsolation,
		User:   confine.User{ID: int(u.UID), Group: int(u.GID), Share: own == 0},
		Limits: confine.Limits{Memory: want.Limits.Memory, Processes: want.Limits.Processes, CPU: want.Limits.CPU, Files: want.Limits.Files},
	}
	for _, g := range u.Groups {
		s.User.Groups = append(s.User.Groups, int(g))
	}
	if s.Privileged || want.Seccomp == appfile.Unconfined {
		s.Filter = confine.FilterOff
	}
	s.NoSetID = s.Filter == confine.FilterDefault // a file of root's that others may run as root
	if len(want.Capabilities) > 0 && own != 0 {
		return s, errs.Hint(errs.Errorf(errs.Denied, "capabilities %s: only root can give them", strings.Join(want.Capabilities, ", ")),
			"run the agent as root, or leave out the service's capabilities")
	}
	for _, c := range want.Capabilities {
		s.Caps = append(s.Caps, "CAP_"+strings.ToUpper(c))
	}
	if s.Bare {
		return s, nil
	}
	var err error
	s.Mounts, err = mounts(i)
	return s, err
}

// mostProcesses is how many processes and threads a service has at most when overland.yaml says
// nothing: enough for a server with a thread for each connection, and a bound for one that forks.
const mostProcesses = 4096

// temporary returns the bytes that a folder for temporary files holds, which is in memory: 1 GiB, or
// a quarter of the machine's memory when that is less.
func temporary() int64 {
	const most, share = 1 << 30, 4
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return most
	}
	return min(most, int64(uint64(s.Totalram)*uint64(s.Unit)/share)) //nolint:unconvert // Totalram has 32 bits on some CPUs
}

// mounts returns the files that i sees: the machine's, read-only, without homes, what others keep, the
// sockets below /run, which believe root whatever it gave up, and hardware; a /tmp of its own; its
// program; and its data, in which alone it can write.
func mounts(i runtime.Instance) ([]confine.Mount, error) {
	list := []confine.Mount{
		{Kind: confine.Bind, Source: "/", Target: "/"},
		{Kind: confine.Proc, Target: "/proc"},
		{Kind: confine.Devices, Target: "/dev"},
	}
	closed := map[string]bool{"/": true}
	for _, dir := range append([]string{"/home", "/root", "/run", "/var/run"}, i.Hidden...) {
		if at, ok := folder(dir); ok && !closed[at] {
			closed[at] = true
			list = append(list, confine.Mount{Kind: confine.Temp, Target: at, Size: 1 << 20})
		}
	}
	list = append(list, nameServers("/etc/resolv.conf", closed)...)
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		if at, ok := folder(dir); ok && at == dir {
			list = append(list, confine.Mount{Kind: confine.Temp, Target: dir, Mode: 0o1777, Exec: true, Size: temporary()})
		}
	}
	if at, ok := folder(i.Dir); ok && at != "/" && hidden(list, at) {
		list = append(list, confine.Mount{Kind: confine.Temp, Target: at, Size: 1 << 20})
	}
	show := func(path string, writable bool) error {
		at, err := filepath.EvalSymlinks(path)
		if err != nil {
			return err
		}
		list = append(list, confine.Mount{Kind: confine.Bind, Source: at, Target: at, Writable: writable})
		return nil
	}
	programs := []string{i.Program}
	for _, p := range i.Programs {
		programs = append(programs, p)
	}
	slices.Sort(programs)
	for _, p := range slices.Compact(programs) {
		if err := show(p, false); err != nil && (p == i.Program || !errors.Is(err, fs.ErrNotExist)) {
			return nil, fmt.Errorf("program: %w", err)
		}
	}
	for name, dir := range i.Data {
		if err := show(dir, true); err != nil {
			return nil, fmt.Errorf("data folder %s: %w", name, err)
		}
	}
	for _, path := range i.Spec.Devices {
		list = append(list, confine.Mount{Kind: confine.Device, Source: path, Target: path})
	}
	for _, path := range i.Spec.Writable {
		if err := apart(path, i.Hidden); err != nil {
			return nil, err
		}
		if err := show(path, true); err != nil {
			return nil, errs.Hint(errs.E(errs.NotFound, fmt.Errorf("writable: %w", err)), "make it, or leave it out of the service's writable paths")
		}
	}
	return list, nil
}

// nameServers shows the list of name servers conf where a resolver of the machine keeps it in one of
// the folders closed: its whole folder, because the file is replaced when the network changes, but
// when others speak there; then the file as it is.
func nameServers(conf string, closed map[string]bool) []confine.Mount {
	at, err := filepath.EvalSymlinks(conf)
	if err != nil {
		return nil
	}
	in := func(path string) bool {
		for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
			if closed[dir] {
				return true
			}
		}
		return false
	}
	if !in(at) {
		return nil
	}
	if dir := filepath.Dir(at); in(dir) {
		entries, err := os.ReadDir(dir)
		speaks := func(e fs.DirEntry) bool { return e.Type()&(fs.ModeSocket|fs.ModeNamedPipe) != 0 || e.IsDir() }
		if err == nil && !slices.ContainsFunc(entries, speaks) {
			at = dir
		}
	}
	return []confine.Mount{{Kind: confine.Optional, Source: at, Target: at}}
}

// apart refuses a writable path that holds, or lies in, one of the folders hidden: other services' data
// and the agent's own are there, and are not to be asked for.
func apart(path string, hidden []string) error {
	at, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil //nolint:nilerr // it is not there, which show says
	}
	within := func(a, b string) bool { return b == "/" || strings.HasPrefix(a+"/", b+"/") }
	for _, dir := range hidden {
		if own, ok := folder(dir); ok && (within(at, own) || within(own, at)) {
			return errs.Hint(errs.Errorf(errs.Denied, "writable %s: the node's own folder %s is not to be written by services", path, own),
				"name the folder that the service needs, or keep it in the service's data")
		}
	}
	return nil
}

// folder returns where the folder path really is, and whether there is one.
func folder(path string) (string, bool) {
	at, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", false
	}
	info, err := os.Stat(at)
	return at, err == nil && info.IsDir()
}

// hidden reports whether path is below a folder in memory of list.
func hidden(list []confine.Mount, path string) bool {
	return slices.ContainsFunc(list, func(m confine.Mount) bool {
		return m.Kind == confine.Temp && strings.HasPrefix(path, m.Target+"/")
	})
}
