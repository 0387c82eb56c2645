package confine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/logfile"
)

// Descriptors of the keeper: its end of the socket to the parent, and the file for a service's exit.
const (
	controlFD = 3
	exitFD    = 4
)

// Process is a confined command that runs.
type Process struct {
	Applied Applied

	cmd     *exec.Cmd
	control *net.UnixConn
	group   *Group // made for it alone; nil = none, or Spec.Group
	limits  Limits
	cancel  context.CancelCauseFunc
	ctx     context.Context
	disk    *disk         // what watch measures
	watched chan struct{} // closed when watch has ended

	once sync.Once
	exit Exit
	err  error
}

// Start starts what s says and returns once it runs. The end of ctx kills all of it. The caller
// must call Wait.
func Start(ctx context.Context, s Spec) (*Process, error) {
	if s.Path == "" || len(s.Args) == 0 {
		return nil, errors.New("confine: no program to start")
	}
	var err error
	if s.Mounts, err = resolve(s.Mounts); err != nil {
		return nil, err
	}
	if most := s.Limits.Disk; most > 0 && (s.Limits.FileSize == 0 || s.Limits.FileSize > most) {
		s.Limits.FileSize = most
	}
	p, err := start(ctx, s, !s.User.Share && !s.Bare, nil)
	if err == nil || s.User.Share || s.Bare || os.Geteuid() != 0 || !noUserNamespace(err) {
		return p, err
	}
	// Root gives up its rights without one too.
	s.User.ID, s.User.Group, s.User.Share = s.User.HostID, s.User.HostGroup, true
	p, again := start(ctx, s, false, nil)
	if again != nil {
		return nil, again
	}
	p.Applied.Missing = append(p.Applied.Missing, "user namespace: "+err.Error())
	return p, nil
}

// noUserNamespace reports whether err says that the machine gives no user namespace.
func noUserNamespace(err error) bool {
	var unable *UnableError
	return errors.As(err, &unable) && unable.What == userNamespace
}

const userNamespace = "a user namespace"

func start(ctx context.Context, s Spec, mapped bool, v *Service) (_ *Process, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &Process{limits: s.Limits, cancel: cancel, ctx: ctx, disk: newDisk(s), watched: make(chan struct{})}
	defer func() {
		if err != nil {
			cancel(nil)
		}
	}()
	ours, theirs, err := SocketPair()
	if err != nil {
		return nil, err
	}
	p.control = ours
	defer func() {
		theirs.Close()
		if err != nil {
			ours.Close()
		}
	}()
	p.cmd = keeperCommand(ctx, v)
	p.cmd.Args[0] = os.Args[0]
	p.cmd.Dir = "/"
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = s.Stdin, s.Stdout, s.Stderr
	p.cmd.ExtraFiles = []*os.File{theirs}
	p.cmd.SysProcAttr = p.namespaces(s, mapped, v)
	if v != nil && v.Exit != nil {
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, v.Exit)
	}
	p.cmd.WaitDelay = s.Grace + time.Second
	p.cmd.Cancel = func() error { return p.end(s) }
	if err := p.cmd.Start(); err != nil {
		return nil, Unable(err, mapped)
	}
	defer func() {
		if err != nil {
			_ = end(p.cmd.Process, s.Bare)
			_ = p.cmd.Wait()
			p.group.Remove()
		}
	}()
	if v != nil || s.Group != nil {
		if err := p.admit(s, v); err != nil {
			return nil, err
		}
	} else if p.group = newGroup(p.PID(), s.Limits); p.group != nil {
		p.Applied.Limits = p.group.limits
	}
	if v == nil && s.Group == nil && p.group == nil && (s.Limits.Memory > 0 || s.Limits.Processes > 0) {
		p.Applied.Limits = "process"
		p.Applied.Missing = append(p.Applied.Missing, "control groups: memory and processes are limited for each process only")
	}
	theirs.Close()
	p.disk.measure() // the keeper still waits for its order
	if err := p.converse(s, mapped, v); err != nil {
		return nil, err
	}
	p.Applied.Filter = s.Filter == FilterDefault
	if s.Limits.Time > 0 {
		t := time.AfterFunc(s.Limits.Time, func() {
			cancel(&LimitError{"time", s.Limits.Time.String()})
		})
		context.AfterFunc(ctx, func() { t.Stop() })
	}
	if v != nil { // the agent watches over services
		close(p.watched)
		return p, nil
	}
	go func() {
		defer close(p.watched)
		p.watch(s, p.disk)
	}()
	return p, nil
}

// admit puts the keeper of a service into its control group and tells the caller about it.
func (p *Process) admit(s Spec, v *Service) error {
	if s.Group != nil {
		if err := s.Group.join(p.PID()); err != nil {
			return fmt.Errorf("join the control group: %w", err)
		}
		p.Applied.Limits = s.Group.limits
	}
	p.Applied.Missing = s.Group.lacking(s.Limits)
	p.Applied.Filter = s.Filter == FilterDefault
	if v == nil || v.Ready == nil {
		return nil
	}
	return v.Ready(p.PID(), p.Applied)
}

// end ends everything: at once, or after the time of grace, in which all that is told of it may end by
// itself.
func (p *Process) end(s Spec) error {
	var limit *LimitError
	if s.Grace > 0 && !errors.As(context.Cause(p.ctx), &limit) {
		if _, err := p.control.Write([]byte{0}); err == nil {
			return nil
		}
	}
	return end(p.cmd.Process, s.Bare)
}

// namespaces returns how the keeper is cloned, and notes it.
func (p *Process) namespaces(s Spec, mapped bool, v *Service) *syscall.SysProcAttr {
	if s.Bare {
		p.Applied.User = "same"
		if s.User.ID != os.Geteuid() {
			p.Applied.User = "switched"
		}
		return &syscall.SysProcAttr{Setsid: v != nil, Setpgid: v == nil}
	}
	a := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	p.Applied.Namespaces = []string{"mount", "pid", "ipc", "uts"}
	if v != nil { // a service has the machine's name, also when that changes
		a.Setsid = true
		a.Cloneflags &^= syscall.CLONE_NEWUTS
		p.Applied.Namespaces = []string{"mount", "pid", "ipc"}
	}
	if s.Network == NetworkNone {
		a.Cloneflags |= syscall.CLONE_NEWNET
		p.Applied.Namespaces = append(p.Applied.Namespaces, "network")
	}
	p.Applied.User = "same"
	if s.User.HostID != 0 || s.User.ID != 0 {
		p.Applied.User = "switched"
	}
	if !mapped {
		return a
	}
	a.Cloneflags |= syscall.CLONE_NEWUSER
	a.GidMappingsEnableSetgroups = os.Geteuid() == 0 // it may give up the groups of who started it
	a.UidMappings = idMap(s.User.ID, s.User.HostID, os.Geteuid())
	a.GidMappings = idMap(s.User.Group, s.User.HostGroup, os.Getegid())
	// Not user 0 in there, it would lose its rights over the new namespaces when it starts.
	a.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP, unix.CAP_DAC_OVERRIDE, unix.CAP_KILL}
	p.Applied.Namespaces = append(p.Applied.Namespaces, "user")
	p.Applied.User = "namespace"
	return a
}

// idMap maps an id of the command to one of the machine. Root is mapped beside it: the keeper,
// which makes the root file system, remains root of the machine, and the command cannot become it.
func idMap(inside, outside, own int) []syscall.SysProcIDMap {
	if own != 0 || outside == 0 {
		return []syscall.SysProcIDMap{{ContainerID: inside, HostID: own, Size: 1}}
	}
	keeper := 0
	if inside == 0 {
		const nobody = 65534
		keeper = nobody
	}
	return []syscall.SysProcIDMap{{ContainerID: inside, HostID: outside, Size: 1}, {ContainerID: keeper, HostID: 0, Size: 1}}
}

// Unable explains why a process could not be cloned into new namespaces; mapped says that one for users
// is among them.
func Unable(err error, mapped bool) error {
	switch {
	case mapped && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS)):
		return &UnableError{userNamespace, "run it as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, " +
			"kernel.apparmor_restrict_unprivileged_userns=0); in a chroot and in most containers there are none", err}
	case mapped && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EUSERS)):
		return &UnableError{userNamespace, "raise sysctl user.max_user_namespaces", err}
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOSYS):
		return &UnableError{"namespaces", "the kernel needs CONFIG_NAMESPACES and its kinds; an emulator of programs has none", err}
	case errors.Is(err, syscall.EPERM):
		return &UnableError{"namespaces", "run it as root; a container needs CAP_SYS_ADMIN for it", err}
	case errors.Is(err, syscall.ENOSPC):
		return &UnableError{"namespaces", "raise the sysctls user.max_*_namespaces", err}
	}
	return fmt.Errorf("start a process in namespaces: %w", err)
}

// order is what the parent sends the keeper first.
type order struct {
	Spec    Spec `json:"spec"`
	Mapped  bool `json:"mapped"`  // it is in a user namespace of its own
	Grouped bool `json:"grouped"` // a control group holds the limits
	Service bool `json:"service"` // it outlives its parent
	Waits   bool `json:"waits"`   // it becomes a service, after one more word
	Dies    bool `json:"dies"`    // it ends with its parent
	Exit    bool `json:"exit"`    // of a service: exitFD is there

	Linger time.Duration `json:"linger"`

	Log       string         `json:"log"` // of a service: see there
	LogLimits logfile.Limits `json:"logLimits"`
}

// answer is what the keeper says; Listening comes with the listener's descriptor.
type answer struct {
	Listening bool   `json:"listening,omitempty"`
	Started   bool   `json:"started,omitempty"`
	Error     string `json:"error,omitempty"`
	Errno     int    `json:"errno,omitempty"` // of Error, when the kernel said it
	Exec      bool   `json:"exec,omitempty"`  // Error is that of the command's start
	Unable    string `json:"unable,omitempty"`
	Remedy    string `json:"remedy,omitempty"`
}

// converse sends the keeper its order and waits until the command runs.
func (p *Process) converse(s Spec, mapped bool, v *Service) error {
	stop := context.AfterFunc(p.ctx, func() { p.control.Close() })
	defer stop()
	o := order{Spec: s, Mapped: mapped, Grouped: p.group != nil}
	if v != nil {
		o.Service, o.Exit, o.Linger, o.Log, o.LogLimits = true, v.Exit != nil, v.Linger, v.Log, v.LogLimits
	}
	if s.Group != nil {
		o.Grouped = s.Group.limits != ""
	}
	if err := Send(p.control, o); err != nil {
		return p.silent(err)
	}
	for {
		var a answer
		files, err := Receive(p.control, &a)
		switch {
		case errors.Is(err, io.EOF) && s.Bare && v == nil:
			return nil // the command has the keeper's place, or it has ended already
		case err != nil:
			return p.silent(err)
		case a.Error != "":
			return a.err()
		case a.Started:
			return nil
		case !a.Listening || len(files) != 1:
			return errors.New("confine: the keeper said what it never says")
		}
		l, err := net.FileListener(files[0])
		files[0].Close()
		if err != nil {
			return err
		}
		var more []string
		if s.Prepare == nil {
			l.Close()
		} else if more, err = s.Prepare(l); err != nil {
			return err
		}
		if err := Send(p.control, Texts(more)); err != nil {
			return p.silent(err)
		}
	}
}

// silent explains a keeper that no longer speaks.
func (p *Process) silent(err error) error {
	if cause := context.Cause(p.ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("the keeper ended: %w", err)
}

func (a answer) err() error {
	err := errors.New(a.Error)
	if a.Errno != 0 {
		err = syscall.Errno(a.Errno)
		if doing := strings.TrimSuffix(a.Error, ": "+err.Error()); doing != err.Error() {
			err = fmt.Errorf("%s: %w", doing, err)
		}
	}
	if a.Exec {
		return &ExecError{err}
	}
	if a.Unable != "" {
		return &UnableError{a.Unable, a.Remedy, err}
	}
	return err
}

// PID returns the keeper's process id: with it the whole ends.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Wait waits until everything has ended. The error is a *LimitError when a limit ended it, and
// that of the context when that did; a command that ended with another code than 0 is no error.
func (p *Process) Wait() (Exit, error) {
	p.once.Do(func() {
		err := p.cmd.Wait()
		cause := context.Cause(p.ctx)
		p.cancel(nil)
		<-p.watched
		p.control.Close()
		reached := p.group.Reached(p.limits)
		p.group.Remove()
		if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			p.exit = exitOf(status)
		} else {
			p.exit = exitOfKeeper(p.cmd.ProcessState.ExitCode())
		}
		var ended *exec.ExitError
		switch {
		case cause != nil:
			p.err = cause
		case err != nil && !errors.As(err, &ended) && !errors.Is(err, exec.ErrWaitDelay):
			p.err = err
		case reached != nil && p.exit.Code != 0:
			p.err = reached
		case p.limits.FileSize > 0 && p.exit.Signal == int(unix.SIGXFSZ):
			p.err = &LimitError{"disk", size(p.limits.FileSize)}
		case p.exit.Code != 0:
			p.err = p.disk.full()
		}
	})
	return p.exit, p.err
}

// signalled plus the number of the signal that ended a command is its exit code, as in shells.
const signalled = 128

// exitOf returns how a process with this status ended.
func exitOf(s syscall.WaitStatus) Exit {
	if s.Signaled() {
		return Exit{Code: signalled + int(s.Signal()), Signal: int(s.Signal())}
	}
	return Exit{Code: s.ExitStatus()}
}

// exitOfKeeper reads the keeper's exit code: above signalled it stands for a signal.
func exitOfKeeper(code int) Exit {
	if code > signalled {
		return Exit{Code: code, Signal: code - signalled}
	}
	return Exit{Code: code}
}
