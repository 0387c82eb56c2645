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

// isolated runs the command as outside does, in a network namespace in which only the recorder can
// be reached. The rest of the machine is as it always is.
func (s *session) isolated(ctx context.Context) (past []border.Attempt, _ error) {
	cmd, release, err := s.o.reaper(ctx, bordered)
	if err != nil {
		return nil, err
	}
	defer release()
	ours, theirs, err := confine.SocketPair()
	if err != nil {
		return nil, err
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
		return nil, unable(confine.Unable(err, person))
	}
	stop, err := s.behind(ctx, ours, cmd.Process.Pid)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, unable(err)
	}
	err = s.o.explain(cmd.Wait())
	return stop(), err
}

// unable gives what the machine cannot do a kind and a hint.
func unable(err error) error {
	var unable *confine.UnableError
	if !errors.As(err, &unable) {
		return err
	}
	return errs.Hint(errs.E(errs.Denied, err), "%s; or leave out --isolated: then what goes past the recorder is not named", unable.Remedy)
}

// behind serves the network namespace of the reaper pid, and gives the reaper the environment of its
// command. stop returns who tried to go past the recorder.
func (s *session) behind(ctx context.Context, c *net.UnixConn, pid int) (stop func() []border.Attempt, err error) {
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
	watch := border.Watch(&border.Wire{Frames: files[1], Names: files[2:]}, func(protocol string, from netip.AddrPort) string {
		return procfs.Sender(pid, protocol, from)
	})
	unserve := s.serve(l)
	stop = func() []border.Attempt {
		unserve()
		return watch.Stop()
	}
	env, err := s.environ(ctx, l.Addr().String())
	if err == nil {
		err = confine.Send(c, confine.Texts(env))
	}
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// behindBorder makes a border around this process, the reaper, and returns the command's environment.
func behindBorder() ([]string, error) {
	f := os.NewFile(controlFD, "control")
	c, err := net.FileConn(f)
	_ = f.Close()
	conn, ok := c.(*net.UnixConn)
	if err != nil || !ok {
		return nil, errs.Errorf(errs.Invalid, "this verb is for Overland itself")
	}
	defer conn.Close()
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
	var list confine.Texts
	_, err = confine.Receive(conn, &list)
	return list, err
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
