package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"overland/internal/confine"
	"overland/internal/confine/border"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/procfs"
)

// bordered is the kind of a reaper that makes a border around its command first.
const bordered = "isolated"

// controlFD is, of such a reaper, its end of a socket: it sends the files of its network namespace,
// and gets the command's environment.
const controlFD = leashFD + 1

// isolated runs the command as outside does, in a network namespace in which only what o.Reach says can
// be reached. The rest of the machine is as it always is. begun = the command ran; else the error says
// why it could not be isolated.
func (s *session) isolated(ctx context.Context, res *Result) (begun bool, _ error) {
	cmd, release, err := s.o.reaper(ctx, bordered)
	if err != nil {
		return false, err
	}
	defer release()
	ours, theirs, err := confine.SocketPair()
	if err != nil {
		return false, err
	}
	defer ours.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	cmd.Env = environ.Child()
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	person := os.Geteuid() != 0
	if person {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
		// Not being user 0 in there, it would lose its rights over the namespace when it starts.
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE}
	}
	s.o.attach(cmd)
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return false, unable(confine.Unable(err, person))
	}
	stop, err := s.behind(ctx, ours, cmd.Process.Pid)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return false, unable(err)
	}
	err = s.o.explain(cmd.Wait())
	stop(res)
	return true, err
}

// unable gives what the machine cannot do a kind and a hint.
func unable(err error) error {
	var unable *confine.UnableError
	if !errors.As(err, &unable) {
		return err
	}
	return errs.Hint(errs.E(errs.Denied, err), "%s; or --isolated=false: then what goes past the recorder is not named", unable.Remedy)
}

// behind serves the network namespace of the reaper pid, and gives the reaper the environment of its
// command. stop notes what the command tried.
func (s *session) behind(ctx context.Context, c *net.UnixConn, pid int) (stop func(*Result), err error) {
	files, err := receiveFiles(c)
	if err != nil {
		return nil, err
	}
	l, err := net.FileListener(files[0])
	_ = files[0].Close()
	if err != nil {
		for _, f := range files[1:] {
			_ = f.Close()
		}
		return nil, err
	}
	sender := func(protocol string, from netip.AddrPort) string { return procfs.Sender(pid, protocol, from) }
	watch := border.Watch(&border.Wire{Frames: files[1], Names: files[2:]}, sender)
	unserve := s.serveCell(l)
	near := &services{c: c, sender: sender, open: map[netip.AddrPort]*forwarder{}}
	stop = func(res *Result) {
		res.Local = near.stop()
		unserve()
		res.Past = watch.Stop()
	}
	env, err := s.environ(ctx, l.Addr().String())
	if err == nil {
		env, err = s.withoutRaisers(env)
	}
	if err == nil && s.o.Reach == Services {
		err = near.renew(ctx) // before the command asks for one
	}
	if err == nil {
		err = confine.Send(c, order{Environ: env})
	}
	if err != nil {
		stop(&Result{})
		return nil, err
	}
	if s.o.Reach == Services {
		near.follow(ctx)
	}
	return stop, nil
}

// order is what a reaper is told, after it has sent the files of its border.
type order struct {
	Listen  []netip.AddrPort `json:"listen,omitempty"`  // where it listens and sends the sockets; those that are taken are left out
	Environ confine.Texts    `json:"environ,omitempty"` // of the command, which starts
}

// behindBorder makes a border around this process, the reaper, and returns the command's environment.
// From then on it listens where the session says.
func behindBorder() ([]string, error) {
	f := os.NewFile(controlFD, "control")
	c, err := net.FileConn(f)
	_ = f.Close()
	conn, ok := c.(*net.UnixConn)
	if err != nil || !ok {
		return nil, errs.Errorf(errs.Invalid, "this verb is for Overland itself")
	}
	env, err := borderFor(conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go func() { // until the session or this process ends
		defer conn.Close()
		_, _ = obey(conn)
	}()
	return env, nil
}

// borderFor makes a border, sends its files, and returns the command's environment.
func borderFor(conn *net.UnixConn) ([]string, error) {
	l, w, err := border.Make()
	if err != nil {
		t := told{Error: err.Error()}
		if unable := (*confine.UnableError)(nil); errors.As(err, &unable) {
			t = told{unable.Err.Error(), unable.What, unable.Remedy}
		}
		return nil, errors.Join(err, confine.Send(conn, t))
	}
	defer l.Close()
	defer w.Close()
	at, err := l.File()
	if err != nil {
		return nil, err
	}
	defer at.Close()
	if err := confine.Send(conn, told{}, append([]*os.File{at, w.Frames}, w.Names...)...); err != nil {
		return nil, err
	}
	return obey(conn)
}

// obey listens as orders from c say, and returns the environment in the first one that has it.
func obey(c *net.UnixConn) ([]string, error) {
	for {
		var o order
		if _, err := confine.Receive(c, &o); err != nil {
			return nil, err
		}
		if len(o.Environ) > 0 {
			return o.Environ, nil
		}
		var at []netip.AddrPort
		var files []*os.File
		for _, a := range o.Listen {
			if f, err := listenTCP(a); err == nil {
				at, files = append(at, a), append(files, f)
			}
		}
		err := confine.Send(c, order{Listen: at}, files...)
		for _, f := range files {
			_ = f.Close()
		}
		if err != nil {
			return nil, err
		}
	}
}

func listenTCP(at netip.AddrPort) (*os.File, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.File()
}

// withoutRights gives up, for the command, what a person's reaper may do in its network namespace.
func withoutRights() error {
	if os.Geteuid() == 0 {
		return nil // root is root
	}
	runtime.LockOSThread() // the command is started by this thread
	return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
}

// told is what a reaper says beside its files.
type told struct {
	Error  string `json:"error,omitempty"`
	Unable string `json:"unable,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

// receiveFiles returns two files or more, or the error that came in their place.
func receiveFiles(c *net.UnixConn) (files []*os.File, err error) {
	var t told
	files, err = confine.Receive(c, &t)
	switch {
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("the process that isolates ended: %w", io.ErrUnexpectedEOF)
	case err != nil:
	case t.Unable != "":
		err = &confine.UnableError{What: t.Unable, Remedy: t.Remedy, Err: errors.New(t.Error)}
	case t.Error != "":
		err = errors.New(t.Error)
	case len(files) < 2:
		err = errors.New("the process that isolates said what it never says")
	}
	if err != nil {
		for _, f := range files {
			_ = f.Close()
		}
		return nil, err
	}
	return files, nil
}
