package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/errs"
	"overland/internal/record"
)

// Verb is the hidden verb of the program that calls Inside with what follows it.
const Verb = "inside"

// socketFD is the inherited end of the socket to the process outside.
const socketFD = 3

// Replay runs the command in a network namespace in which only what o.Lock holds can be had. An error of the command is
// an *ExitError.
func Replay(ctx context.Context, o Options) (*Result, error) {
	if o.Blobs == nil {
		o.Blobs = o.Store
	}
	r := record.NewReplayer(o.Blobs, o.Lock)
	s, err := open(ctx, o, r)
	if err != nil {
		return nil, err
	}
	defer s.close()
	r.Forget() // what opening asked for
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{Verb, "--"}, o.Command...)...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = o.Environ
	cmd.SysProcAttr = namespace()
	err = s.inside(cmd)
	misses := r.Misses()
	if o.Proofs {
		record.Prove(ctx, r, s.spoken...)
	}
	return &Result{Lock: r.Used(), Problems: misses}, err
}

// namespace returns how to start a process without a network.
func namespace() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		a.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN} // to bring lo up; given up before the command runs
	}
	return a
}

// inside runs cmd, which calls Inside, and answers on the listener that it sends.
func (s *session) inside(cmd *exec.Cmd) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "outside"), os.NewFile(uintptr(pair[1]), "inside")
	c, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		panic("session: a socketpair that is no unix socket")
	}
	defer conn.Close()
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Dir = s.o.WorkDir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.o.Stdin, s.o.Stdout, s.o.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = shutdown
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return errs.Hint(errs.E(errs.Denied, fmt.Errorf("make a network namespace: %w", err)),
			"run it as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)")
	}
	l, err := receive(conn)
	if err != nil {
		// It ended, and has said why on stderr.
		return errors.Join(s.o.explain(cmd.Wait()), err)
	}
	stop := s.serve(l)
	defer stop()
	environ, err := s.environ(l.Addr().String())
	if err == nil {
		err = json.NewEncoder(conn).Encode(environ)
	}
	if err != nil {
		conn.Close() // who waits for it inside, ends
		return errors.Join(s.o.explain(cmd.Wait()), err)
	}
	conn.Close()
	return s.o.explain(cmd.Wait())
}

// receive returns the listener that the process inside made.
func receive(conn *net.UnixConn) (net.Listener, error) {
	const patience, one, fdSize = time.Minute, 1, 4
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	oob := make([]byte, unix.CmsgSpace(fdSize))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, one), oob)
	if err != nil {
		return nil, err
	}
	list, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(list) != one {
		return nil, errs.Errorf(errs.Internal, "no listener came from the network namespace")
	}
	fds, err := unix.ParseUnixRights(&list[0])
	if err != nil || len(fds) != one {
		return nil, errs.Errorf(errs.Internal, "no listener came from the network namespace")
	}
	unix.CloseOnExec(fds[0])
	f := os.NewFile(uintptr(fds[0]), "listener")
	defer f.Close()
	return net.FileListener(f)
}

// Inside is the part of Replay that runs in the network namespace. It becomes the command; it returns only an error.
func Inside(ctx context.Context, command []string) error {
	if len(command) == 0 {
		return errs.Errorf(errs.Invalid, "no command to run")
	}
	conn := os.NewFile(socketFD, "outside")
	unix.CloseOnExec(socketFD)
	if err := loopback(); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := send(conn, l); err != nil {
		return err
	}
	var environ []string
	const limit = 4 << 20
	if err := json.NewDecoder(io.LimitReader(conn, limit)).Decode(&environ); err != nil {
		return fmt.Errorf("environment from outside: %w", err)
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return errs.E(errs.NotFound, err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", path, syscall.Exec(path, command, environ))
}

// send passes the listener's socket to the process outside.
func send(conn *os.File, l net.Listener) error {
	t, ok := l.(*net.TCPListener)
	if !ok {
		panic("session: a TCP listener that is none")
	}
	f, err := t.File()
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Sendmsg(int(conn.Fd()), []byte{0}, unix.UnixRights(int(f.Fd())), nil, 0)
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
