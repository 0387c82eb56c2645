package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/record"
)

// Replay runs the command in a network namespace in which only what o.Lock holds is available. An
// error of the command is an *ExitError.
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
	r.Forget() // what openTools requested
	cmd, release, err := o.reaper(ctx, Replaying)
	if err != nil {
		return nil, err
	}
	defer release()
	cmd.Env = s.o.Environ
	cmd.SysProcAttr = namespace()
	err = s.inside(cmd)
	if exit := (*ExitError)(nil); errors.As(err, &exit) {
		r.Inspect(ctx)
	}
	misses := r.Misses()
	if o.Proofs {
		record.Prove(ctx, r, s.protocols()...)
	}
	return &Result{Lock: r.Used(), Problems: misses}, err
}

// namespace returns the attributes that start a process without a network.
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

// inside runs cmd, which calls Inside, and serves on the listener that it sends.
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
		panic("session: the socketpair is not a unix socket")
	}
	defer conn.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	s.o.attach(cmd)
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return errs.Hint(errs.E(errs.Denied, fmt.Errorf("make a network namespace: %w", err)),
			"run it as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)")
	}
	l, err := receive(conn)
	if err != nil {
		// It ended, and has reported why on stderr.
		return errors.Join(s.o.explain(cmd.Wait()), err)
	}
	stop := s.serve(l)
	defer stop()
	environ, err := s.environ(l.Addr().String())
	if err == nil {
		err = json.NewEncoder(conn).Encode(environ)
	}
	if err != nil {
		conn.Close() // the process inside waits for this, and ends
		return errors.Join(s.o.explain(cmd.Wait()), err)
	}
	conn.Close()
	return s.o.explain(cmd.Wait())
}

// receive returns the listener that the process inside opened.
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

// connect sends a listener in this network namespace to the process outside, and returns the
// environment that it sends back.
func connect(ctx context.Context) (environ []string, _ error) {
	conn := os.NewFile(socketFD, "outside")
	defer conn.Close()
	if err := loopback(); err != nil {
		return nil, fmt.Errorf("bring lo up: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if err := send(conn, l); err != nil {
		return nil, err
	}
	const limit = 4 << 20
	if err := json.NewDecoder(fsx.Limit(conn, limit)).Decode(&environ); err != nil {
		return nil, fmt.Errorf("environment from outside: %w", err)
	}
	return environ, nil
}

// send passes the listener's socket to the process outside.
func send(conn *os.File, l net.Listener) error {
	t, ok := l.(*net.TCPListener)
	if !ok {
		panic("session: not a TCP listener")
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
