package machine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Root is what a machine's root file system is made of.
type Root string

// The kinds of root file system.
const (
	Host    Root = "host"    // this machine's own files, read through an overlay: a Debian host
	Busybox Root = "busybox" // nothing but a static busybox: an Alpine-like or container-like host
)

// Options is a machine to be. The zero value is a host-like machine called "machine".
type Options struct {
	Name  string            // host name; "" = machine
	Root  Root              // "" = Host
	Binds map[string]string // path here → path inside, read-only
	// Writable are directories here → paths inside, where what the machine
	// writes stays; made when missing.
	Writable map[string]string
	// ReadOnly mounts the root read-only: what the machine writes can go to Writable alone.
	ReadOnly bool
	// HostNetwork leaves the machine in this machine's network: for a server or a
	// bad link on its loopback address.
	HostNetwork bool
	Env         []string  // environment of everything run inside, KEY=VALUE
	First       []string  // program that is the machine's process 1 after set-up; nil = a small init that reaps
	Systemd     bool      // process 1 is the real systemd of a Host root, instead of First; needs root here
	Output      io.Writer `json:"-"` // where First writes; nil = nowhere
	// Interpreters are programs for foreign CPUs, in binfmt_misc's registration format. They are
	// registered in the machine's own user namespace and nowhere else.
	Interpreters []string
}

// Machine is a running machine. Its methods are safe for concurrent use.
type Machine struct {
	opts   Options
	dir    string
	cgroup string // of a Systemd machine
	cmd    *exec.Cmd
	done   chan struct{}
	err    error
	stop   sync.Once
}

// spec travels to the machine's first process.
type spec struct {
	Options
	Dir string
}

const initArg = "overland-machine-init"

// Supported returns nil when machines can be made here, or an error that says what is missing.
func Supported() error {
	for _, tool := range []string{"nsenter", "busybox"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not installed: apt-get install util-linux busybox-static", tool)
		}
	}
	cmd := exec.Command("/proc/self/exe", initArg+"-probe")
	cmd.SysProcAttr = namespaces(false)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("namespaces cannot be made here (%w): run as root, or allow user namespaces with sysctl kernel.unprivileged_userns_clone=1", err)
	}
	return cmd.Wait()
}

// Start makes a machine and returns when its root file system, loopback and first process are up.
func Start(ctx context.Context, o Options) (*Machine, error) {
	o.Name = cmp.Or(o.Name, "machine")
	o.Root = cmp.Or(o.Root, Host)
	dir, err := os.MkdirTemp("", "overland-"+o.Name+"-")
	if err != nil {
		return nil, err
	}
	description, err := json.Marshal(spec{o, dir})
	if err != nil {
		return nil, err
	}
	ready, readyW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	m := &Machine{opts: o, dir: dir, done: make(chan struct{})}
	m.cmd = exec.Command("/proc/self/exe", initArg, string(description))
	m.cmd.SysProcAttr = namespaces(o.HostNetwork)
	if o.Systemd {
		group, err := newCgroup(filepath.Base(dir))
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		defer group.Close()
		m.cgroup = group.Name()
		m.cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWCGROUP
		m.cmd.SysProcAttr.UseCgroupFD, m.cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	}
	m.cmd.ExtraFiles = []*os.File{readyW}
	m.cmd.Stdout, m.cmd.Stderr = o.Output, o.Output
	err = m.cmd.Start()
	readyW.Close()
	if err != nil {
		removeCgroup(m.cgroup)
		return nil, errors.Join(fmt.Errorf("machine %s: %w", o.Name, err), os.RemoveAll(dir))
	}
	go func() {
		m.err = m.cmd.Wait()
		close(m.done)
	}()
	said := make(chan string, 1)
	go func() {
		// To its end, which is when First has taken the process over:
		// while it does, nobody can enter.
		text, _ := io.ReadAll(ready)
		said <- strings.TrimSpace(string(text))
	}()
	select {
	case line := <-said:
		if line != "ready" {
			m.Stop()
			return nil, fmt.Errorf("machine %s: %s", o.Name, line)
		}
		return m, nil
	case <-ctx.Done():
		m.Stop()
		return nil, ctx.Err()
	}
}

// Command returns a command that runs argv inside m, as its root, in its root directory.
func (m *Machine) Command(ctx context.Context, argv ...string) *exec.Cmd {
	pid := strconv.Itoa(m.cmd.Process.Pid)
	args := []string{"--target", pid, "--user", "--mount", "--uts", "--pid", "--root", "--wd"}
	if !m.opts.HostNetwork {
		args = append(args, "--net")
	}
	if os.Geteuid() != 0 {
		args = append(args, "--preserve-credentials")
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(append(args, "--"), argv...)...)
	cmd.Env = m.env()
	// The grandchild may hold the pipes after a kill; do not wait for it forever.
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Run runs argv inside m and returns what it printed, both streams together. A failing
// command is an *exec.ExitError.
func (m *Machine) Run(ctx context.Context, argv ...string) (string, error) {
	out, err := m.Command(ctx, argv...).CombinedOutput()
	return string(out), err
}

// Name returns the machine's host name.
func (m *Machine) Name() string { return m.opts.Name }

// PID returns the number, here, of the machine's first process: /proc/PID/ns has its namespaces.
func (m *Machine) PID() int { return m.cmd.Process.Pid }

// Done is closed when the machine's first process has ended.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Signal sends sig to the machine's first process.
func (m *Machine) Signal(sig os.Signal) error { return m.cmd.Process.Signal(sig) }

// Stop ends everything on the machine and removes its files. It may be called more than once.
func (m *Machine) Stop() {
	m.stop.Do(func() {
		_ = m.cmd.Process.Kill()
		<-m.done
		_ = os.RemoveAll(m.dir)
		removeCgroup(m.cgroup)
	})
}

func (m *Machine) env() []string {
	return append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=dumb"}, m.opts.Env...)
}

func namespaces(hostNetwork bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // Ctrl-C reaches the caller only, who then stops the machine
	}
	if hostNetwork {
		a.Cloneflags &^= syscall.CLONE_NEWNET
	}
	size := 1
	if os.Geteuid() == 0 {
		size = 65536
	}
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: size}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: size}}
	a.GidMappingsEnableSetgroups = size > 1
	return a
}

// Init turns this process into a machine's first one when it was started as
// such; otherwise it returns at once.
func Init() {
	if len(os.Args) < 2 || !strings.HasPrefix(os.Args[1], initArg) {
		return
	}
	if os.Args[1] == initArg+"-probe" {
		os.Exit(0)
	}
	ready := os.NewFile(3, "ready")
	syscall.CloseOnExec(3)
	var s spec
	err := json.Unmarshal([]byte(os.Args[2]), &s)
	if err == nil {
		err = setUp(s)
	}
	if err != nil {
		fmt.Fprintln(ready, err)
		os.Exit(1)
	}
	fmt.Fprintln(ready, "ready")
	m := Machine{opts: s.Options}
	if s.Systemd {
		s.First = []string{"/lib/systemd/systemd", "--log-target=console", "--show-status=no"}
		m.opts.Env = append(m.opts.Env, "container=overland")
	}
	if len(s.First) > 0 {
		path, err := lookPath(s.First[0])
		if err == nil {
			err = syscall.Exec(path, s.First, m.env())
		}
		fmt.Fprintf(ready, "run %s: %v\n", s.First[0], err)
		os.Exit(1)
	}
	ready.Close()
	reap()
}

func lookPath(name string) (string, error) {
	if err := os.Setenv("PATH", "/usr/local/bin:/usr/bin:/bin:/sbin"); err != nil {
		return "", err
	}
	return exec.LookPath(name)
}

// reap is the whole of a machine's init: it waits for orphans until it is killed.
func reap() {
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); errors.Is(err, syscall.ECHILD) {
			time.Sleep(50 * time.Millisecond) // nothing to wait for yet; SIGCHLD would need a handler
		}
	}
}
