package confine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"overland/internal/procfs"
)

// Main is the keeper: it never returns. The program's main calls it, first of all, when the first
// argument is Verb.
func Main() {
	runtime.LockOSThread() // rights, filters and limits are the thread's, and pass on to the command
	procfs.Disinherit()
	f := os.NewFile(controlFD, "control")
	c, err := net.FileConn(f)
	f.Close()
	conn, ok := c.(*net.UnixConn)
	if err != nil || !ok || os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "this verb is for Overland itself")
		os.Exit(2)
	}
	k := &keeper{conn: conn, heard: make(chan os.Signal, 16)}
	if err := k.begin(); err != nil {
		_ = send(conn, refusal(err))
		os.Exit(1)
	}
	os.Exit(k.keep())
}

type keeper struct {
	conn  *net.UnixConn
	heard chan os.Signal
	pid   int // the command
}

func refusal(err error) answer {
	a := answer{Error: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		a.Errno = int(errno)
	}
	var unable *UnableError
	if errors.As(err, &unable) {
		a.Error, a.Unable, a.Remedy = unable.Err.Error(), unable.What, unable.Remedy
	}
	return a
}

// begin makes the private world and starts the command in it.
func (k *keeper) begin() error {
	var o order
	if _, err := receive(k.conn, &o); err != nil {
		return err
	}
	s := o.Spec
	// From here on a signal is the command's, also one that comes before it runs.
	signal.Notify(k.heard, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT)
	if s.Network == NetworkNone {
		if err := loopback(); err != nil {
			return fmt.Errorf("bring lo up: %w", err)
		}
	}
	if s.Listen {
		more, err := k.listen()
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		s.Env = append(s.Env, more...)
	}
	if err := unix.Sethostname([]byte("overland")); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if len(s.Mounts) > 0 {
		if err := privateRoot(s.Mounts, o.Mapped); err != nil {
			return err
		}
	} else if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep mounts apart: %w", err)
	}
	if s.Dir == "" {
		s.Dir = "/"
	}
	if err := os.Chdir(s.Dir); err != nil {
		return fmt.Errorf("working folder: %w", err)
	}
	if err := setLimits(s.Limits, o.Grouped); err != nil {
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
	pid, err := syscall.ForkExec(s.Path, s.Args, &syscall.ProcAttr{Dir: s.Dir, Env: s.Env, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Path, err)
	}
	k.pid = pid
	return send(k.conn, answer{Started: true})
}

// listen sends the parent a listener of this network namespace and returns what it answers.
func (k *keeper) listen() (environ []string, _ error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := append([]byte{1}, `{"listening":true}`...)
	if _, _, err := k.conn.WriteMsgUnix(text, unix.UnixRights(int(f.Fd())), nil); err != nil {
		return nil, err
	}
	_, err = receive(k.conn, &environ)
	return environ, err
}

// keep collects what ends and passes signals on until the command has ended, and returns its exit
// code; the kernel then ends what is left.
func (k *keeper) keep() int {
	go func() { // nothing more comes: the socket's end is that of the parent, also of one that was killed
		_, _ = k.conn.Read(make([]byte, 1))
		os.Exit(128 + int(syscall.SIGKILL))
	}()
	go func() {
		for s := range k.heard {
			if n, ok := s.(syscall.Signal); ok {
				_ = syscall.Kill(k.pid, n)
			}
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1
		case pid != k.pid:
		case status.Signaled():
			return 128 + int(status.Signal())
		case status.Exited():
			return status.ExitStatus()
		}
	}
}

// loopback brings the namespace's loopback interface up.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}
