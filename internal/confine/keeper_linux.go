package confine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/environ"
	"overland/internal/procfs"
)

// Main is the keeper: it never returns. The program's main calls it, first of all, when the first
// argument is Verb.
func Main() {
	runtime.LockOSThread() // rights, filters and limits are the thread's, and pass on to the command
	procfs.Disinherit()
	k := &keeper{heard: make(chan os.Signal, 16)}
	begin, keep, control := k.begin, k.keep, controlFD
	var err error
	if len(os.Args) > 2 {
		k.kept = &kept{logged: make(chan struct{})}
		err = json.Unmarshal([]byte(os.Args[2]), k.kept)
		begin, keep, k.pid, control = k.resume, k.keepService, k.kept.PID, k.kept.Conn
	}
	if err == nil {
		k.conn, err = socketOf(uintptr(control))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "this verb is for Overland itself")
		os.Exit(2)
	}
	if err := begin(); err != nil {
		_ = Send(k.conn, refusal(err))
		os.Exit(1)
	}
	os.Exit(keep())
}

// socketOf returns the end of a SocketPair that this process was started with.
func socketOf(fd uintptr) (*net.UnixConn, error) {
	f := os.NewFile(fd, "control")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("not one of our sockets")
	}
	return conn, nil
}

type keeper struct {
	conn  *net.UnixConn
	heard chan os.Signal
	pid   int // the command
	order order
	exit  *os.File // of a service
	log   *os.File // of a service: the folder of its log
	kept  *kept    // of a service, when this is a keeper without rights
}

func refusal(err error) answer {
	a := answer{Error: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		a.Errno = int(errno)
	}
	var failed *ExecError
	a.Exec = errors.As(err, &failed)
	var unable *UnableError
	if errors.As(err, &unable) {
		a.Error, a.Unable, a.Remedy = unable.Err.Error(), unable.What, unable.Remedy
	}
	return a
}

// begin makes the private world and starts the command in it.
func (k *keeper) begin() error {
	var o order
	if _, err := Receive(k.conn, &o); err != nil {
		return err
	}
	s := o.Spec
	k.order = o
	if os.Getpid() != 1 && !s.Bare {
		return errors.New("the keeper is not the first process")
	}
	unix.Umask(umask)
	if o.Service {
		ownStanding()
	}
	if s.Bare && !o.Service {
		return k.beBare(s)
	}
	if !o.Service {
		k.hear()
	}
	if s.Network == NetworkNone {
		if err := Loopback(); err != nil {
			return fmt.Errorf("bring lo up: %w", err)
		}
	}
	if s.Listen != "" {
		more, err := k.listen(s.Listen)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		s.Env = append(s.Env, more...)
	}
	if !o.Service {
		if err := unix.Sethostname([]byte("overland")); err != nil {
			return fmt.Errorf("set the host name: %w", err)
		}
	}
	if o.Service { // while the machine's folders are in sight
		var err error
		if k.log, err = folderAlone(filepath.Dir(o.Log), s.Bare); err != nil {
			return fmt.Errorf("open the folder of the log: %w", err)
		}
	}
	if s.Bare {
		return k.serve(s)
	}
	if len(s.Mounts) > 0 {
		if err := privateRoot(s.Mounts, o.Mapped); err != nil {
			return err
		}
	} else if err := apart(); err != nil {
		return err
	}
	if o.Service {
		return k.serve(s)
	}
	if s.Dir == "" {
		s.Dir = "/"
	}
	if err := os.Chdir(s.Dir); err != nil {
		return fmt.Errorf("working folder: %w", err)
	}
	if err := setLimits(s.Limits, o.Grouped, o.Service); err != nil {
		return err
	}
	if err := surrender(s, o.Mapped); err != nil {
		return err
	}
	// The other threads of this process have kept their rights: the command, which may be of the
	// same user, must not be able to trace it.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep the keeper to itself: %w", err)
	}
	path, err := program(s)
	if err != nil {
		return &ExecError{fmt.Errorf("start %s: %w", s.Path, err)}
	}
	attr := &syscall.ProcAttr{Dir: s.Dir, Env: s.Env, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true}}
	err = retryBusy(func() error {
		k.pid, err = syscall.ForkExec(path, s.Args, attr)
		return err
	})
	if err != nil {
		return &ExecError{fmt.Errorf("start %s: %w", s.Path, err)}
	}
	return Send(k.conn, answer{Started: true})
}

// umask is that of every command: what it writes is not for others to change.
const umask = 0o022

// hear makes signals the command's, also those that come before it runs.
func (k *keeper) hear() {
	signal.Notify(k.heard, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT)
}

// beBare gives up what is to be given up and becomes the command.
func (k *keeper) beBare(s Spec) error {
	if k.order.Waits {
		if _, err := Receive(k.conn, new(bool)); err != nil {
			return err
		}
	}
	if err := os.Chdir(cmp.Or(s.Dir, "/")); err != nil {
		return fmt.Errorf("working folder: %w", err)
	}
	if err := setLimits(s.Limits, k.order.Grouped, true); err != nil {
		return err
	}
	if err := surrender(s, k.order.Mapped); err != nil {
		return err
	}
	if k.order.Dies {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return err
		}
	}
	// It returns only when it cannot.
	return &ExecError{retryBusy(func() error { return unix.Exec(s.Path, s.Args, s.Env) })}
}

// listen sends the parent a listener of this network namespace and returns what it answers.
func (k *keeper) listen(at string) (environ []string, _ error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", at)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := Send(k.conn, answer{Listening: true}, f); err != nil {
		return nil, err
	}
	var list Texts
	_, err = Receive(k.conn, &list)
	return list, err
}

// program returns the path of the command, as the command sees it.
func program(s Spec) (string, error) {
	if strings.Contains(s.Path, "/") {
		return s.Path, nil
	}
	if list, ok := environ.Lookup(s.Env, "PATH"); ok {
		if err := os.Setenv("PATH", list); err != nil {
			return "", err
		}
	}
	return exec.LookPath(s.Path)
}

// keep collects what ends and passes signals on until the command has ended, and returns its exit
// code; the kernel then ends what is left. When the parent says so, everything is told to end, and
// has the time of grace for it.
func (k *keeper) keep() int {
	deaths, stop := make(chan procfs.Death), make(chan struct{})
	go k.obey(stop)
	go procfs.Reap(deaths)
	code := signalled + int(syscall.SIGKILL)
	var stopping, ended bool
	var grace <-chan time.Time
	for {
		select {
		case d, some := <-deaths:
			switch {
			case !some:
				return code
			case d.PID != k.pid:
				continue
			}
			if ended, code = true, exitOf(d.Status).Code; !stopping {
				return code
			}
		case <-stop:
			stopping, grace = true, time.After(k.order.Spec.Grace)
			_ = syscall.Kill(-1, syscall.SIGTERM) // all of this namespace but the keeper
		case <-grace:
			if ended {
				return code
			}
			_ = syscall.Kill(-1, syscall.SIGKILL)
		case s := <-k.heard:
			k.pass(s)
		}
	}
}

// obey passes on that the parent wants an end. The socket's end is that of the parent, also of one
// that was killed.
func (k *keeper) obey(stop chan<- struct{}) {
	for {
		if n, err := k.conn.Read(make([]byte, 1)); n == 0 || err != nil {
			os.Exit(signalled + int(syscall.SIGKILL))
		}
		stop <- struct{}{}
	}
}

// Loopback brings the loopback interface of this network namespace up.
func Loopback() error { return Up("lo", unix.IFF_RUNNING) }

// Up brings the interface name of this network namespace up, with further flags.
func Up(name string, flags uint16) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | flags)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}
