package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/appfile"
	"overland/internal/confine"
	"overland/internal/fsx"
	"overland/internal/procfs"
	"overland/internal/runtime"
	"overland/internal/runtime/process"
	"overland/internal/runtime/runtimetest"
)

// The test binary is also the service that the tests run: what it plays is in this variable.
const roleVar = "OVERLAND_TEST_ROLE"

// Under the race detector a program lingers for a second before it exits.
const quickExit = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Verb {
		confine.Main()
	}
	if role := os.Getenv(roleVar); role != "" {
		play(role)
		return
	}
	goleak.VerifyTestMain(m)
}

// say writes one line to the test that reads the FIFO named by OVERLAND_TEST_FIFO. The FIFO stays
// open until the process ends, so that the test sees the end of file when all of a family is gone.
func say(format string, args ...any) {
	f, err := os.OpenFile(os.Getenv("OVERLAND_TEST_FIFO"), os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	// Left open; and one write, so that lines of a family do not mix.
	if _, err := fmt.Fprintf(f, format+"\n", args...); err != nil {
		panic(err)
	}
}

func play(role string) {
	switch name, arg, _ := strings.Cut(role, "="); name {
	case "serve":
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		fmt.Println("serving")
		say("ready %d", os.Getpid())
		<-term
		fmt.Println("bye")
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		say("ready %d", os.Getpid())
		hang()
	case "exit":
		code, _ := strconv.Atoi(arg)
		os.Exit(code)
	case "daemon": // goes to the background, as old servers do
		spawn("serve", &syscall.SysProcAttr{Setsid: true})
	case "leaves": // a child that has something to say at its end, and takes its time
		wait := make(chan os.Signal, 1)
		signal.Notify(wait, syscall.SIGUSR1)
		spawn("late", &syscall.SysProcAttr{Setsid: true})
		say("ready %d", os.Getpid())
		<-wait
	case "late":
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		say("ready %d", os.Getpid())
		<-term
		time.Sleep(100 * time.Millisecond)
		fmt.Println("bye")
	case "abort":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		hang()
	case "family":
		// A parent with children in its group and children that fled into sessions of
		// their own; all ignore SIGTERM.
		signal.Ignore(syscall.SIGTERM)
		wait := make(chan os.Signal, 1)
		signal.Notify(wait, syscall.SIGUSR1)
		for _, sys := range []*syscall.SysProcAttr{{}, {Setpgid: true}, {Setsid: true}, {Setsid: true}} {
			spawn("stubborn", sys)
		}
		say("ready %d", os.Getpid())
		if arg == "dies" {
			<-wait // until all of the family is there
			os.Exit(7)
		}
		hang()
	case "bomb":
		// Forks as fast as it can, up to a number, each child doing the same once.
		say("ready %d", os.Getpid())
		for range 40 {
			spawn("stubborn", &syscall.SysProcAttr{Setsid: true})
		}
		hang()
	case "orphaner":
		spawn("exit=0", &syscall.SysProcAttr{})
		say("ready %d", os.Getpid())
	case "whoami":
		dir, _ := os.Getwd()
		groups, _ := os.Getgroups()
		null, _ := os.Readlink("/proc/self/fd/0")
		say("uid %d gid %d groups %v dir %s stdin %s args %q env %q", os.Getuid(), os.Getgid(), groups, dir, null, os.Args[1:], os.Environ())
	case "confess":
		confess()
	case "disk":
		disk()
	case "eat":
		b := make([]byte, 256<<20)
		for k := 0; k < len(b); k += 4096 {
			b[k] = 1
		}
	case "reaper":
		reaper(arg)
	case "contract":
		contract(runtimetest.Role(arg))
	case "chatter":
		// Says more than anybody wants, then what was asked for.
		fmt.Print(strings.Repeat("x", 1<<20), "needle\n")
	case "listen":
		// Hands a port to a child that fled into a session of its own; the parent does not hold it.
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		f, _ := l.(*net.TCPListener).File()
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), roleVar+"=hold")
		cmd.ExtraFiles, cmd.SysProcAttr = []*os.File{f}, &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		f.Close()
		l.Close()
		say("ready %d", l.Addr().(*net.TCPAddr).Port)
		hang()
	case "hold":
		hang()
	case "job":
		wait := make(chan os.Signal, 1)
		signal.Notify(wait, syscall.SIGUSR1)
		say("ready %d", os.Getpid())
		<-wait
	case "burst":
		// Prints as fast as it can, when it is told to, then what was asked for, through another opening.
		line := strings.Repeat("x", 1<<10-1) + "\n"
		wait := make(chan os.Signal, 1)
		signal.Notify(wait, syscall.SIGUSR1)
		say("ready %d", os.Getpid())
		<-wait
		for range 32 << 10 {
			fmt.Print(line)
		}
		out, err := os.OpenFile("/dev/stderr", os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = out.WriteString("needle\n")
		}
		if err != nil {
			fmt.Println(err)
		}
	case "hang":
		// Hangs, and so does a child that fled with the output.
		spawn("stubborn", &syscall.SysProcAttr{Setsid: true})
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("before the hang")
		say("ready %d", os.Getpid())
		hang()
	case "agent":
		// An agent that is killed at a named moment: it starts the instance whose folder is arg.
		agent(arg)
	default:
		panic("unknown role " + role)
	}
}

// hang blocks for ever. An empty select would be called a deadlock in a build without cgo.
func hang() {
	for {
		time.Sleep(time.Hour)
	}
}

func spawn(role string, sys *syscall.SysProcAttr) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = sys
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}

// world is one test's instance and the FIFO that its processes talk through.
type world struct {
	t    *testing.T
	dir  string
	inst runtime.Instance
	hold *os.File // keeps the FIFO open for writing
	fifo *os.File
	in   *bufio.Reader
}

func newWorld(t *testing.T, role string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	// Another user's processes write to it too.
	if err := os.Chmod(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.inst = instance(t.Name(), w.dir, role)
	path := filepath.Join(w.dir, "fifo")
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.hold, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	if w.fifo, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		t.Fatal(err)
	}
	w.in = bufio.NewReader(w.fifo)
	t.Cleanup(func() {
		w.hold.Close()
		w.fifo.Close()
		// Whatever a failed test left: only what carries the mark of its own record.
		process.EndAll(w.inst.Record)
	})
	return w
}

func instance(name, dir, role string) runtime.Instance {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	i := runtime.Instance{
		Name: strings.ReplaceAll(name, "/", "-"), Program: exe, Dir: dir,
		Env: []string{roleVar + "=" + role, "OVERLAND_TEST_FIFO=" + filepath.Join(dir, "fifo"), quickExit},
		Log: filepath.Join(dir, "log"), Record: filepath.Join(dir, "record"),
		Spec: appfile.Service{StopTimeout: appfile.Duration(time.Minute)},
		Data: map[string]string{"all": dir},
	}
	if strings.Contains(name, bare) {
		i.Spec.Isolation = appfile.NoIsolation
	}
	return i
}

// fsx0 is the machine's file system.
var fsx0 fsx.FS

// bare is in the names of the tests whose services run without namespaces.
const bare = "bare"

func (w *world) start(r *process.Runtime) runtime.Process {
	w.t.Helper()
	p, err := r.Start(w.t.Context(), w.inst)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Release)
	return p
}

// line waits for the next line that a process says.
func (w *world) line() string {
	w.t.Helper()
	if err := w.fifo.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		w.t.Fatal(err)
	}
	s, err := w.in.ReadString('\n')
	if err != nil {
		w.t.Fatalf("waiting for the service to speak: %v", err)
	}
	return strings.TrimSuffix(s, "\n")
}

// ready waits until n processes said that they are, and returns their ids.
func (w *world) ready(n int) []int {
	w.t.Helper()
	var pids []int
	for len(pids) < n {
		if text, ok := strings.CutPrefix(w.line(), "ready "); ok {
			pid, err := strconv.Atoi(text)
			if err != nil {
				w.t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// allGone fails unless every process that spoke has ended: the last one closes the FIFO.
func (w *world) allGone() {
	w.t.Helper()
	w.hold.Close()
	if err := w.fifo.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, w.in); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			w.t.Fatal("some process is still there")
		}
		w.t.Fatal(err)
	}
}

func (w *world) done(p runtime.Process) runtime.Exit {
	w.t.Helper()
	select {
	case <-p.Done():
		return p.Exit()
	case <-time.After(time.Minute):
		w.t.Fatal("the process does not end")
		return runtime.Exit{}
	}
}

func (w *world) stop(p runtime.Process) {
	w.t.Helper()
	if err := p.Stop(w.t.Context(), time.Minute); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) log() string {
	w.t.Helper()
	b, err := os.ReadFile(w.inst.Log)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// both runs the test with and without pidfd, and without namespaces and control groups.
func both(t *testing.T, test func(t *testing.T, r *process.Runtime)) {
	t.Helper()
	for _, name := range []string{"pidfd", "polling", bare, bare + " polling without groups"} {
		t.Run(name, func(t *testing.T) {
			r := process.New(process.Options{})
			r.PlayOld(strings.Contains(name, "polling"))
			r.PlayUngrouped(strings.Contains(name, "groups"))
			test(t, r)
		})
	}
}

// inside returns what the service calls itself: its process id where it runs.
func inside(t *testing.T, p runtime.Process) int {
	t.Helper()
	pid := p.PID()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		found := 0
		_ = procfs.Each(func(s procfs.Process) {
			if s.Parent == pid && s.Group == s.PID {
				found = s.PID
			}
		})
		if ids := spaces(found); len(ids) > 0 {
			n, _ := strconv.Atoi(ids[len(ids)-1])
			return n
		}
	}
	t.Fatalf("process %d has no service", pid)
	return 0
}

// spaces returns the ids of pid in its process namespaces.
func spaces(pid int) []string {
	b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	_, after, _ := strings.Cut(string(b), "NSpid:")
	line, _, _ := strings.Cut(after, "\n")
	return strings.Fields(line)
}

func contextOf() context.Context { return context.Background() }

func contextWith(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}
