package confine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"overland/internal/confine"
)

// status returns what the kernel says of this process: its users, groups, rights, limits and folder.
func status() map[string]string {
	said := map[string]string{}
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		said[name] = strings.Join(strings.Fields(value), " ")
	}
	for name, which := range map[string]int{
		"core": unix.RLIMIT_CORE, "files": unix.RLIMIT_NOFILE, "size": unix.RLIMIT_FSIZE, "data": unix.RLIMIT_DATA, "processes": unix.RLIMIT_NPROC,
	} {
		var r unix.Rlimit
		if err := unix.Getrlimit(which, &r); err != nil {
			panic(err)
		}
		said[name] = fmt.Sprintf("%d %d", r.Cur, r.Max) // Go itself raises the soft limit for files
		if name == "files" {
			said[name] = strconv.FormatUint(r.Max, 10)
		}
	}
	sid, _ := unix.Getsid(0)
	said["session"] = strconv.FormatBool(sid == os.Getpid())
	said["folder"], _ = os.Getwd()
	return said
}

func init() {
	verbs["status"] = func([]string) { _ = json.NewEncoder(os.Stdout).Encode(status()) }
}

// everybodys returns a copy of this test program that every user may start.
func everybodys(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "confine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self := program(t)
	b, err := os.ReadFile(self)
	path := filepath.Join(dir, filepath.Base(self))
	if err := errors.Join(err, os.WriteFile(path, b, 0o755), os.Chmod(path, 0o755), os.Chmod(dir, 0o755)); err != nil { //nolint:gosec // others start it
		t.Fatal(err)
	}
	return path
}

// opened returns how many files a service may open at most, when it does not say.
func opened(own map[string]string) string {
	const usual = 1 << 19
	rights, _ := strconv.ParseUint(own["CapEff"], 16, 64)
	if most, _ := strconv.Atoi(own["files"]); most < usual && rights&(1<<unix.CAP_SYS_RESOURCE) == 0 {
		return own["files"]
	}
	return strconv.Itoa(usual)
}

// What a command is given is what the kernel says that it has, to the last bit.
func TestWhatACommandIsGiven(t *testing.T) {
	own := status()
	mask := unix.Umask(0o007) // not the one that every command has
	defer unix.Umask(mask)
	filters := func(more int) string {
		n, err := strconv.Atoi(own["Seccomp_filters"])
		if err != nil {
			t.Fatal(err)
		}
		return strconv.Itoa(n + more)
	}
	ids := func(n int) string { return strings.TrimSpace(strings.Repeat(strconv.Itoa(n)+" ", 4)) }
	const none, two, all = "0000000000000000", "0000000400000400", "all"
	least := map[string]string{
		"Uid": ids(1000), "Gid": ids(1001), "Groups": "", "Umask": "0022", "NoNewPrivs": "1", "Seccomp_filters": filters(1), "core": "0 0", "session": "true",
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none, "folder": "/",
		"files": own["files"], "size": own["size"], "data": own["data"], "processes": own["processes"],
	}
	for name, test := range map[string]struct {
		change func(s *confine.Spec)
		want   map[string]string // beside least
	}{
		"nothing": {func(*confine.Spec) {}, nil},
		"a group": {
			func(s *confine.Spec) { s.User = confine.User{ID: 61000, Group: 61001, Share: true, Groups: []int{5}} },
			map[string]string{"Uid": ids(61000), "Gid": ids(61001), "Groups": "5"},
		},
		"rights and groups": {func(s *confine.Spec) {
			s.User = confine.User{ID: 61000, Group: 61001, Share: true, Groups: []int{5, 6}}
			s.Caps, s.NoSetID = []string{"CAP_NET_BIND_SERVICE", "CAP_SYSLOG"}, true
		}, map[string]string{"Uid": ids(61000), "Gid": ids(61001), "Groups": "5 6", "CapInh": two, "CapPrm": two, "CapEff": two, "CapBnd": two, "CapAmb": two, "Seccomp_filters": filters(2)}},
		"all of root's": {
			func(s *confine.Spec) { s.User, s.Privileged = confine.User{Share: true}, true },
			map[string]string{"Uid": ids(0), "Gid": ids(0), "NoNewPrivs": own["NoNewPrivs"], "Seccomp_filters": filters(0), "CapEff": all, "CapPrm": all, "CapBnd": all},
		},
		"some of root's": {func(s *confine.Spec) {
			s.User, s.Privileged, s.Filter, s.Caps = confine.User{ID: 61000, Group: 61001, Share: true}, true, confine.FilterOff, []string{"NET_BIND_SERVICE", "syslog"}
		}, map[string]string{"Uid": ids(61000), "Gid": ids(61001), "NoNewPrivs": own["NoNewPrivs"], "Seccomp_filters": filters(0), "CapBnd": all, "CapInh": two, "CapPrm": two, "CapEff": two, "CapAmb": two}},
		"no filter": {func(s *confine.Spec) { s.Filter, s.NoSetID = confine.FilterOff, true }, map[string]string{"Seccomp_filters": filters(0)}},
		"limits": {
			func(s *confine.Spec) { s.Limits = confine.Limits{Files: 77, FileSize: 5000, Core: true} },
			map[string]string{"files": "77", "size": "5000 5000", "core": own["core"]},
		},
		"a disk":             {func(s *confine.Spec) { s.Limits = confine.Limits{Disk: 1 << 20} }, map[string]string{"size": "1048576 1048576"}},
		"less than the disk": {func(s *confine.Spec) { s.Limits = confine.Limits{Disk: 1 << 20, FileSize: 5000} }, map[string]string{"size": "5000 5000"}},
		"more than the disk": {func(s *confine.Spec) { s.Limits = confine.Limits{Disk: 1 << 20, FileSize: 1 << 30} }, map[string]string{"size": "1048576 1048576"}},
		"limits of the kernel": {func(s *confine.Spec) {
			s.Limits = confine.Limits{Memory: 8 << 30, Processes: 1000}
			s.Group = &confine.Group{}
		}, map[string]string{"data": "8589934592 8589934592", "processes": "1064 1064"}},
		"limits of a group": {func(s *confine.Spec) { s.Limits = confine.Limits{Memory: 1 << 30, Processes: 1000} }, nil},
		"bare": {func(s *confine.Spec) {
			s.Path, s.Mounts, s.Bare, s.Dir, s.Network = everybodys(t), nil, true, "/usr", confine.NetworkHost
			s.User = confine.User{ID: 61000, Group: 61001, Share: true}
		}, map[string]string{"Uid": ids(61000), "Gid": ids(61001), "folder": "/usr", "files": opened(own), "session": "false"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, "status")
			test.change(&s)
			out, exit, err := run(t, s)
			var got map[string]string
			if err := errors.Join(err, json.Unmarshal([]byte(out), &got)); err != nil || exit.Code != 0 {
				t.Fatalf("%q, %+v, %v", out, exit, err)
			}
			want := maps.Clone(least)
			maps.Copy(want, test.want)
			for what, value := range want {
				if value == all {
					value = own["CapBnd"]
				}
				if got[what] != value {
					t.Errorf("%s: %q, want %q", what, got[what], value)
				}
			}
		})
	}
}

// The filter that a command has, and what holds its limits, are told as they are.
func TestWhatIsLeftOutIsTold(t *testing.T) {
	s := spec(t, "tell")
	s.Filter, s.Group = confine.FilterOff, &confine.Group{}
	s.Limits = confine.Limits{Processes: 1000, CPU: 1}
	p, _ := start(t, t.Context(), s)
	if _, err := p.Wait(); err != nil || p.Applied.Filter || p.Applied.Limits != "" || len(p.Applied.Missing) != 2 {
		t.Errorf("%+v, %v", p.Applied, err)
	}
	g := confine.MakeGroup("confine-test-told-"+strconv.Itoa(os.Getpid()), s.Limits)
	defer g.Remove()
	s.Group = g
	p, _ = start(t, t.Context(), s)
	if _, err := p.Wait(); err != nil || !strings.HasPrefix(p.Applied.Limits, "cgroup v") || len(p.Applied.Missing) != 0 {
		t.Errorf("%+v, %v", p.Applied, err)
	}
}

// A namespace that is said to be its own is: no other one is.
func TestNamespacesAreItsOwn(t *testing.T) {
	names := map[string]string{"mount": "mnt", "pid": "pid", "ipc": "ipc", "uts": "uts", "network": "net", "user": "user"}
	verbsOf := func(s confine.Spec) ([]string, []string) {
		p, out := start(t, soon(t), s)
		if _, err := p.Wait(); err != nil {
			t.Fatal(err)
		}
		return strings.Fields(out.String()), p.Applied.Namespaces
	}
	for name, s := range map[string]confine.Spec{
		"all": {}, "with the machine's users": {User: confine.User{ID: 61000, Group: 61001, Share: true}}, "with its network": {Network: confine.NetworkHost},
	} {
		base := spec(t)
		base.Path, base.Args, base.Network = "/bin/sh", []string{"sh", "-c", "for n in mnt pid ipc uts net user; do readlink /proc/self/ns/$n; done"}, s.Network
		if s.User.Share {
			base.User = s.User
		}
		seen, told := verbsOf(base)
		for what, file := range names {
			outside, err := os.Readlink("/proc/self/ns/" + file)
			if err != nil {
				t.Fatal(err)
			}
			if own := !slices.Contains(seen, outside); own != slices.Contains(told, what) {
				t.Errorf("%s: %s: its own %v, and told %q", name, what, own, told)
			}
		}
	}
}

// A start that is refused says why, leaves nothing behind, and does not wait for what never comes.
func TestAStartThatIsRefused(t *testing.T) {
	for name, s := range map[string]confine.Spec{"no program": {Args: []string{"x"}}, "no arguments": {Path: "/bin/true"}} {
		if _, err := confine.Start(t.Context(), s); err == nil || !strings.Contains(err.Error(), "no program") {
			t.Errorf("%s: %v", name, err)
		}
	}
	why := errors.New("no")
	s := spec(t, "tell")
	s.Listen, s.Limits = "127.0.0.1:0", confine.Limits{Processes: 100}
	s.Prepare = func(l net.Listener) ([]string, error) { return nil, errors.Join(why, l.Close()) }
	if _, err := confine.Start(t.Context(), s); !errors.Is(err, why) {
		t.Errorf("what Prepare says: %v", err)
	}
	others, _ := filepath.Glob(groups)
	s.Path = "/nothing"
	if _, err := confine.Start(t.Context(), s); err == nil {
		t.Error("a program that is not there")
	}
	noGroupIsLeft(t, others)
	ctx, cancel := context.WithCancelCause(t.Context())
	s.Prepare = func(l net.Listener) ([]string, error) { cancel(why); return nil, l.Close() }
	if _, err := confine.Start(ctx, s); !errors.Is(err, why) {
		t.Errorf("the cause of an end: %v", err)
	}
}

// descriptors returns how many files this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestNoDescriptorIsLeft(t *testing.T) {
	left, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0) //nolint:gosec // left open for every program
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(left)
	open := spec(t)
	open.Path, open.Args = "/bin/sh", []string{"sh", "-c", fmt.Sprintf("[ -e /proc/self/fd/%d ] || echo closed", left)}
	if out, _, err := run(t, open); err != nil || out != "closed" {
		t.Errorf("a command has what was left open: %q, %v", out, err)
	}
	s := spec(t, "tell")
	s.Listen = "127.0.0.1:0"
	before := 0
	for k := range 4 {
		switch k {
		case 1: // the first opens what the runtime keeps
			before = descriptors(t)
		case 2:
			s.Prepare = func(l net.Listener) ([]string, error) { return nil, l.Close() }
		case 3:
			s.Path = "/nothing"
		}
		if p, err := confine.Start(t.Context(), s); err == nil {
			_, _ = p.Wait()
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d, and %d before", after, before)
	}
}
