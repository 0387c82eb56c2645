package confine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/confine"
)

// spec returns how this test program runs as command, which is one of the verbs of TestMain, with
// the machine's programs and nothing else.
func spec(t *testing.T, command ...string) confine.Spec {
	t.Helper()
	mounts, err := confine.System()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return confine.Spec{
		Path: "/attempt", Args: append([]string{"attempt"}, command...), Env: []string{"PATH=/usr/bin:/bin", "WORD=tea"},
		Mounts: append(mounts, confine.Mount{Kind: confine.Bind, Source: self, Target: "/attempt"}),
		User:   confine.User{ID: 1000, Group: 1001, HostID: 61000, HostGroup: 61001},
	}
}

// verbs are what this test program does inside, by its first argument.
var verbs = map[string]func(args []string){
	attemptVerb: attempt,
	probeVerb:   func([]string) { probe() },
	"tell": func([]string) {
		dir, _ := os.Getwd()
		host, _ := os.Hostname()
		fmt.Println(os.Getuid(), os.Getgid(), dir, host, os.Getenv("WORD"), len(os.Environ()))
		os.Exit(3)
	},
	"held": func([]string) { fmt.Println(confine.Held()) },
	"eat": func(args []string) {
		n, _ := strconv.Atoi(args[0])
		b := make([]byte, n<<20)
		for k := 0; k < len(b); k += 4096 {
			b[k] = 1
		}
		fmt.Println("ate")
	},
	"fork": func([]string) {
		for range 300 {
			if err := exec.Command("/proc/self/exe", "sleep").Start(); err != nil {
				os.Exit(1)
			}
		}
	},
	"open": func(args []string) {
		f, err := os.OpenFile(args[0], os.O_RDWR, 0)
		if err == nil {
			f.Close()
		}
		fmt.Println(errors.Is(err, unix.EPERM))
	},
	"mounts": func([]string) {
		b, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			panic(err)
		}
		fmt.Print(string(b))
	},
	"sleep": func([]string) { time.Sleep(time.Hour) },
	"orphan": func([]string) { // leaves a process behind that has left the session too
		cmd := exec.Command("/proc/self/exe", "sleep")
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Println("left")
	},
	"write": func(args []string) {
		if err := os.WriteFile(args[0], []byte("x"), 0o644); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	},
	"grow": func(args []string) {
		if err := os.WriteFile(args[0], make([]byte, 1<<20), 0o644); err != nil {
			os.Exit(1)
		}
	},
	"fill": func(args []string) { // writes files of 1 MiB until it cannot, or without end into one that is in no folder
		f, err := os.Create(filepath.Join(args[0], "first"))
		for k := 0; err == nil; k++ {
			if args[1] == "many" && k > 0 {
				f.Close()
				f, err = os.Create(filepath.Join(args[0], strconv.Itoa(k)))
			}
			if err == nil {
				_, err = f.Write(make([]byte, 1<<20))
			}
		}
		os.Exit(1)
	},
	"obey": func([]string) { // ends when it is told to, as does what it has started
		heard := make(chan os.Signal, 1)
		signal.Notify(heard, unix.SIGTERM)
		cmd := exec.Command("/proc/self/exe", "told")
		cmd.Stdout, cmd.SysProcAttr = os.Stdout, &unix.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		<-heard
		os.Exit(7)
	},
	"told": func([]string) {
		heard := make(chan os.Signal, 1)
		signal.Notify(heard, unix.SIGTERM)
		fmt.Println("ready")
		<-heard
		fmt.Println("told")
	},
	"call": func([]string) {
		c, err := net.Dial("tcp", os.Getenv("AT"))
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(c, "hello")
		c.Close()
	},
	"signal": func([]string) { _ = unix.Kill(os.Getpid(), unix.SIGTERM); time.Sleep(time.Minute) },
}

// start starts s, and returns what it prints.
func start(t *testing.T, ctx context.Context, s confine.Spec) (*confine.Process, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	s.Stdout, s.Stderr = &out, &out
	p, err := confine.Start(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	return p, &out
}

// run returns what the command printed and how it ended.
func run(t *testing.T, s confine.Spec) (string, confine.Exit, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p, out := start(t, ctx, s)
	exit, err := p.Wait()
	return strings.TrimSpace(out.String()), exit, err
}

func TestACommandIsWhatItsSpecSays(t *testing.T) {
	s := spec(t, "tell")
	s.Dir = "/tmp"
	out, exit, err := run(t, s)
	if want := "1000 1001 /tmp overland tea 2"; out != want || exit.Code != 3 || err != nil {
		t.Errorf("got %q, %+v, %v; want %q", out, exit, err, want)
	}
	s = spec(t, "signal")
	if _, exit, err := run(t, s); err != nil || exit.Code != 143 || exit.Signal != 15 {
		t.Errorf("%+v, %v", exit, err)
	}
	s = spec(t, "tell")
	s.Path, s.Env[0] = "attempt", "PATH=/usr/bin:/"
	if out, exit, err := run(t, s); exit.Code != 3 || err != nil {
		t.Errorf("a program in PATH: %q, %+v, %v", out, exit, err)
	}
	s = spec(t)
	s.Path = "/usr/bin/nothing-of-this-name"
	if _, err := confine.Start(t.Context(), s); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	s = spec(t)
	s.Mounts = append(s.Mounts, confine.Mount{Kind: confine.Bind, Source: "/usr", Target: "/a/../b"})
	if _, err := confine.Start(t.Context(), s); err == nil {
		t.Error("a target that is not clean")
	}
}

func TestLimits(t *testing.T) {
	others, _ := filepath.Glob(groups)
	for name, test := range map[string]struct {
		command []string
		limits  confine.Limits
		text    string
	}{
		"memory":    {[]string{"eat", "200"}, confine.Limits{Memory: 64 << 20}, "the limit of 64 MiB for memory was reached"},
		"processes": {[]string{"fork"}, confine.Limits{Processes: 64}, "the limit of 64 for processes was reached"},
		"time":      {[]string{"sleep"}, confine.Limits{Time: 300 * time.Millisecond}, "the limit of 300ms for time was reached"},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, test.command...)
			s.Limits = test.limits
			_, exit, err := run(t, s)
			var limit *confine.LimitError
			if !errors.As(err, &limit) || limit.What != name || err.Error() != test.text {
				t.Errorf("%+v, %v", exit, err)
			}
		})
	}
	t.Run("enough", func(t *testing.T) {
		s := spec(t, "eat", "20")
		s.Limits = confine.Limits{Memory: 256 << 20, Processes: 100, CPU: 1, Files: 100, FileSize: 1 << 30, Time: time.Minute}
		if out, exit, err := run(t, s); out != "ate" || exit.Code != 0 || err != nil {
			t.Errorf("%q, %+v, %v", out, exit, err)
		}
	})
	for _, kind := range []string{"many", "one"} {
		t.Run("disk, "+kind, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.Chmod(dir, 0o777), os.WriteFile(filepath.Join(dir, "before"), make([]byte, 20<<20), 0o600)); err != nil {
				t.Fatal(err)
			}
			s := spec(t, "fill", dir, kind)
			s.Mounts = append(s.Mounts, confine.Mount{Kind: confine.Bind, Source: dir, Target: dir, Writable: true})
			s.Limits.Disk = 16 << 20
			_, exit, err := run(t, s)
			var limit *confine.LimitError
			if !errors.As(err, &limit) || err.Error() != "the limit of 16 MiB for disk was reached" {
				t.Errorf("%+v, %v", exit, err)
			}
		})
	}
	t.Run("a file", func(t *testing.T) {
		s := spec(t, "grow", "/tmp/x")
		s.Limits.FileSize = 1000
		if _, exit, _ := run(t, s); exit.Code == 0 {
			t.Error("a file grew over its limit")
		}
	})
	noGroupIsLeft(t, others)
}

// noGroupIsLeft demands that the control groups that were made since others are gone.
func noGroupIsLeft(t *testing.T, others []string) {
	t.Helper()
	// Those of other tests on this machine come and go, and have processes in them.
	for end, left := time.Now().Add(20*time.Second), empty(others); len(left) > 0; left = slices.DeleteFunc(empty(others), func(dir string) bool { return !slices.Contains(left, dir) }) {
		if time.Now().After(end) {
			t.Fatalf("control groups are left: %q", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// groups are the control groups of commands.
const groups = "/sys/fs/cgroup/*/overland-*"

// empty returns the control groups of commands without a process, but for others.
func empty(others []string) (list []string) {
	all, _ := filepath.Glob(groups)
	for _, dir := range all {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err == nil && len(b) == 0 && !slices.Contains(others, dir) {
			list = append(list, dir)
		}
	}
	return list
}

func TestEverythingEndsWithTheCommand(t *testing.T) {
	before := sleepers(t)
	if out, exit, err := run(t, spec(t, "orphan")); out != "left" || exit.Code != 0 || err != nil {
		t.Fatalf("%q, %+v, %v", out, exit, err)
	}
	if after := sleepers(t); len(after) > len(before) {
		t.Errorf("%v outlived the command", after)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	p, _ := start(t, ctx, spec(t, "sleep"))
	why := errors.New("enough")
	cancel(why)
	if _, err := p.Wait(); !errors.Is(err, why) {
		t.Errorf("a cancelled command: %v", err)
	}
}

func TestWhatIsToldToEndHasTimeForIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := spec(t, "obey")
	s.Grace = time.Minute
	out, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s.Stdout = theirs
	p, err := confine.Start(ctx, s)
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	cancel()
	exit, err := p.Wait()
	said, _ := io.ReadAll(out)
	if exit.Code != 7 || !errors.Is(err, context.Canceled) || string(said) != "told\n" {
		t.Errorf("%+v, %v, %q", exit, err, said)
	}
}

// sleepers returns the processes of this machine that run the verb sleep.
func sleepers(t *testing.T) (list []string) {
	t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range all {
		b, err := os.ReadFile(name)
		if err == nil && bytes.HasSuffix(b, []byte("\x00sleep\x00")) {
			list = append(list, name)
		}
	}
	return list
}

func TestMounts(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"open", "closed"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	with := func(name string, args ...string) confine.Spec {
		s := spec(t, args...)
		s.Mounts = append(s.Mounts,
			confine.Mount{Kind: confine.Bind, Source: filepath.Join(dir, name), Target: "/made/at", Writable: name == "open"},
			confine.Mount{Kind: confine.Optional, Source: filepath.Join(dir, "missing"), Target: "/missing"},
			confine.Mount{Kind: confine.File, Target: "/etc/passwd", Content: []byte("build:x:1000:1000::/:/bin/sh\n")})
		return s
	}
	if out, exit, err := run(t, with("open", "write", "/made/at/x")); exit.Code != 0 || err != nil {
		t.Errorf("%q, %+v, %v", out, exit, err)
	}
	info, err := os.Stat(filepath.Join(dir, "open", "x"))
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (st.Uid != 61000 || st.Gid != 61001) {
		t.Errorf("the file is of %d:%d", st.Uid, st.Gid)
	}
	for _, to := range []string{"/made/at/x", "/x", "/etc/passwd", "/usr/x", "/proc/sys/kernel/hostname"} {
		if out, exit, _ := run(t, with("closed", "write", to)); exit.Code == 0 {
			t.Errorf("%s was written: %s", to, out)
		}
	}
}

// What is missing is made in memory, and never in a folder of the machine that is shown.
func TestAPrivateRootChangesNothingOfTheMachine(t *testing.T) {
	for name, m := range map[string]confine.Mount{
		"file":    {Kind: confine.File, Target: "/made/at/passwd", Content: []byte("x")},
		"new":     {Kind: confine.File, Target: "/made/at/a/b", Content: []byte("x")},
		"link":    {Kind: confine.Symlink, Source: "/etc", Target: "/made/at/link"},
		"folder":  {Kind: confine.Temp, Target: "/made/at/folder"},
		"program": {Kind: confine.Bind, Source: "/usr/bin/env", Target: "/made/at/env"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "passwd"), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := spec(t, "tell")
		s.Mounts = append(s.Mounts, confine.Mount{Kind: confine.Bind, Source: dir, Target: "/made/at", Writable: true}, m)
		if p, err := confine.Start(t.Context(), s); err == nil {
			_, _ = p.Wait()
			t.Errorf("%s: it was started", name)
		}
		got, err := os.ReadFile(filepath.Join(dir, "passwd"))
		if list, _ := os.ReadDir(dir); err != nil || string(got) != "mine" || len(list) != 1 {
			t.Errorf("%s: %q, %v, %v", name, got, list, err)
		}
	}
}

// The private /dev is in memory as well: what lies in the machine's /dev/shm can be shown there.
func TestSharedMemoryOfTheMachineIsHiddenAndShown(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "confine")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	inner := filepath.Join(dir, "data")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(inner, 0o777), os.Chmod(inner, 0o777)); err != nil { //nolint:gosec // another user writes
		t.Fatal(err)
	}
	s := spec(t, "write", filepath.Join(inner, "x"))
	s.Mounts = append([]confine.Mount{{Kind: confine.Bind, Source: "/", Target: "/"}, {Kind: confine.Devices, Target: "/dev"}, {Kind: confine.Temp, Target: "/tmp"}},
		confine.Mount{Kind: confine.Temp, Target: dir}, confine.Mount{Kind: confine.Bind, Source: inner, Target: inner, Writable: true},
		confine.Mount{Kind: confine.Bind, Source: program(t), Target: "/tmp/attempt"})
	s.Path, s.User = "/tmp/attempt", confine.User{Share: true}
	if out, exit, err := run(t, s); exit.Code != 0 || err != nil {
		t.Errorf("%q, %+v, %v", out, exit, err)
	}
	if list, _ := os.ReadDir(inner); len(list) != 1 {
		t.Errorf("%v", list)
	}
}

// A listener of the private network serves the command, and nobody else.
func TestListen(t *testing.T) {
	said := make(chan string, 1)
	s := spec(t, "call")
	s.Listen = "127.0.0.1:0"
	s.Prepare = func(l net.Listener) ([]string, error) {
		go func() {
			defer l.Close()
			c, err := l.Accept()
			if err != nil {
				said <- err.Error()
				return
			}
			defer c.Close()
			b := make([]byte, 5)
			n, _ := c.Read(b)
			said <- string(b[:n])
		}()
		if err := dial("tcp", l.Addr().String()); err == nil {
			return nil, errors.New("it can be reached from outside")
		}
		return []string{"AT=" + l.Addr().String()}, nil
	}
	if out, exit, err := run(t, s); exit.Code != 0 || err != nil {
		t.Errorf("%q, %+v, %v", out, exit, err)
	}
	if got := <-said; got != "hello" {
		t.Errorf("got %q", got)
	}
	s.Prepare = func(l net.Listener) ([]string, error) {
		return []string{"AT=" + l.Addr().String()}, l.Close()
	}
	if _, exit, _ := run(t, s); exit.Code == 0 {
		t.Error("a listener that was closed is still there")
	}
}

func TestWhatIsAppliedIsSaid(t *testing.T) {
	s := spec(t, "tell")
	s.Limits = confine.Limits{Memory: 1 << 30, Processes: 100}
	p, _ := start(t, t.Context(), s)
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	a := p.Applied
	t.Logf("%+v", a)
	if !slices.Equal(a.Namespaces, []string{"mount", "pid", "ipc", "uts", "network", "user"}) || a.User != "namespace" || !a.Filter ||
		!strings.HasPrefix(a.Limits, "cgroup v") || len(a.Missing) > 0 {
		t.Errorf("%+v", a)
	}
}

// Whether a process is confined is the kernel's word, and of each part.
func TestWhoIsHeld(t *testing.T) {
	if confine.Held() {
		t.Error("this test is")
	}
	for name, c := range map[string]struct {
		change func(*confine.Spec)
		held   string
	}{
		"all of it":      {func(*confine.Spec) {}, "true"},
		"with a network": {func(s *confine.Spec) { s.Network = confine.NetworkHost }, "false"},
		"with calls":     {func(s *confine.Spec) { s.Filter = confine.FilterOff }, "false"},
		"with rights":    {func(s *confine.Spec) { s.Caps = []string{"CAP_NET_BIND_SERVICE"} }, "false"},
		"with its root": {func(s *confine.Spec) {
			s.Mounts = append([]confine.Mount{{Kind: confine.Bind, Source: "/", Target: "/"}, {Kind: confine.Temp, Target: "/tmp", Exec: true}},
				confine.Mount{Kind: confine.Bind, Source: program(t), Target: "/tmp/attempt"})
			s.Path = "/tmp/attempt"
		}, "false"},
	} {
		s := spec(t, "held")
		c.change(&s)
		if out, _, err := run(t, s); out != c.held || err != nil {
			t.Errorf("%s: %q, %v; want %s", name, out, err, c.held)
		}
	}
}

// A disk that is there to be opened, and root with every right over files: the control group keeps it away.
func TestS17DisksAreKeptAwayByTheControlGroup(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	const loop = 7
	if err := unix.Mknod(disk, unix.S_IFBLK|0o600, int(unix.Mkdev(loop, 0))); err != nil {
		t.Fatal(err)
	}
	for _, kept := range []bool{true, false} {
		g := confine.MakeGroup("confine-test-"+strconv.Itoa(os.Getpid()), confine.Limits{})
		if g == nil {
			t.Fatal("no control group")
		}
		defer g.Remove()
		allow := []string{"/dev/null"}
		if !kept {
			allow = append(allow, disk)
		}
		if err := g.AllowDevices(allow); err != nil {
			t.Fatal(err)
		}
		s := spec(t, "open", "/disk")
		s.Group, s.Caps, s.User = g, []string{"CAP_DAC_OVERRIDE", "CAP_MKNOD"}, confine.User{Share: true}
		s.Mounts = append(s.Mounts, confine.Mount{Kind: confine.Device, Source: disk, Target: "/disk"})
		var out bytes.Buffer
		s.Stdout = &out
		p, err := confine.Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(out.String()); got != strconv.FormatBool(kept) {
			t.Errorf("kept away %v: the disk is denied: %s", kept, got)
		}
		g.Remove()
	}
}
