package confine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"overland/internal/confine/filter"
	"overland/internal/fsx"
	"overland/internal/logfile"
	"overland/internal/procfs"
)

// kept is what the keeper of a service knows when it has started itself anew, without its rights.
type kept struct {
	PID    int  // of the starter, which becomes the service
	Conn   int  // descriptor: the keeper's end of the socket to the parent
	Word   int  // descriptor: the same for the starter, of which the keeper is the parent
	Pipe   int  // descriptor: what the service prints
	Exit   bool // exitFD is there
	Apart  bool // the keeper is process 1
	Linger time.Duration
	Log    string // its name in the working folder
	Limits logfile.Limits

	logged chan struct{} // closed when the pipe has ended and all of it is in the log
}

// serve makes a starter, which still has the rights that it takes to become the service, and starts
// this program anew without them: of a program with several threads, some would keep theirs.
func (k *keeper) serve(s Spec) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	if os.Geteuid() == 0 {
		// Programs open /dev/stdout anew. The pipe is not the user's: an owner could change its mode.
		const group = 0o660
		if err := errors.Join(w.Chown(0, s.User.Group), w.Chmod(group)); err != nil {
			return fmt.Errorf("hand over the log: %w", err)
		}
	}
	ours, theirs, err := SocketPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	attr := &syscall.ProcAttr{Files: []uintptr{0, w.Fd(), w.Fd(), theirs.Fd()}, Sys: &syscall.SysProcAttr{Setsid: !s.Bare, Setpgid: s.Bare}}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{os.Args[0], Verb}, attr)
	if err != nil {
		return fmt.Errorf("start the starter: %w", err)
	}
	bare := s
	bare.Bare, bare.Mounts = true, nil
	if err := Send(ours, order{Spec: bare, Mapped: k.order.Mapped, Grouped: k.order.Grouped, Waits: true, Dies: s.Bare}); err != nil {
		return err
	}
	word, err := ours.File()
	if err != nil {
		return err
	}
	conn, err := k.conn.File()
	if err != nil {
		return err
	}
	return k.again(s, kept{
		PID: pid, Conn: int(conn.Fd()), Word: int(word.Fd()), Pipe: int(r.Fd()), Exit: k.order.Exit, Apart: !s.Bare,
		Linger: k.order.Linger, Log: filepath.Base(k.order.Log), Limits: k.order.LogLimits,
	})
}

// again starts this program anew with v, and returns only when it cannot.
func (k *keeper) again(s Spec, v kept) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := k.log.Chdir(); err != nil {
		return err
	}
	path, own := "/proc/self/exe", -1
	if v.Apart && alone() {
		if own, err = unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.Chroot("."); err != nil {
			return fmt.Errorf("have the logs for a root: %w", err)
		}
	}
	if err := lessen(s, k.order.Mapped); err != nil {
		return err
	}
	for _, fd := range []int{exitFD, v.Conn, v.Word, v.Pipe} {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0) // exitFD may not be there
	}
	args := []string{os.Args[0], Verb, string(text)}
	if own < 0 {
		return unix.Exec(path, args, []string{})
	}
	return execAt(own, args)
}

// alone reports whether this program can be started where there are no other files: it needs no loader,
// and the kernel starts what was opened before (Linux 3.19). The agent is such a program.
func alone() bool {
	const loader, most = 7, 4096 // AT_BASE
	b, err := fsx.ReadFile("/proc/self/auxv", most)
	word := int(unsafe.Sizeof(uintptr(0)))
	for pair := range slices.Chunk(b, 2*word) {
		if len(pair) == 2*word && native(pair[:word]) == loader && native(pair[word:]) != 0 {
			return false
		}
	}
	return err == nil && !errors.Is(execAt(-1, nil), unix.ENOSYS)
}

func native(b []byte) uint64 {
	if len(b) == 4 { // bytes of a word
		return uint64(binary.NativeEndian.Uint32(b))
	}
	return binary.NativeEndian.Uint64(b)
}

// execAt starts the program that fd is, without an environment. It returns only when it cannot.
func execAt(fd int, args []string) error {
	list, err := syscall.SlicePtrFromStrings(args)
	if err != nil {
		return err
	}
	empty, none := [1]byte{}, [1]*byte{}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&empty)), uintptr(unsafe.Pointer(&list[0])),
		uintptr(unsafe.Pointer(&none)), unix.AT_EMPTY_PATH, 0)
	return errno
}

// lessen leaves the calling thread no right but to signal what it keeps, whoever that becomes.
func lessen(s Spec, mapped bool) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("get capabilities: %w", err)
	}
	keep := uint64(data[0].Permitted) & (1 << unix.CAP_KILL)
	if err := restrict(keep, mapped, false); err != nil {
		return err
	}
	if _, _, errno := unix.RawSyscall(sysSetgroups, 0, 0, 0); errno != 0 && errno != unix.EPERM {
		return fmt.Errorf("set groups: %w", errno)
	}
	if err := setCapabilities(keep); err != nil {
		return err
	}
	err := errors.Join(filter.InstallNoSetID(), filter.InstallNoSockets(), filter.Install(nil))
	if err != nil && s.Filter != FilterOff { // else the service may do without as well
		return &UnableError{SystemCallFilters, "the kernel needs CONFIG_SECCOMP_FILTER", err}
	}
	return nil
}

// resume is the beginning of a keeper that has started itself anew: it lets the service run.
func (k *keeper) resume() error {
	v := k.kept
	_ = unix.Prctl(unix.PR_SET_NAME, nameOf(os.Args[0]), 0, 0, 0)
	// A service that is root too must not be able to trace it.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep the keeper to itself: %w", err)
	}
	if !v.Apart {
		// An emulator may not know it: the agent then ends what the service leaves behind.
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
	k.hear()
	if v.Exit {
		k.exit = os.NewFile(exitFD, "exit")
	}
	w, err := logfile.Open(v.Log, v.Limits)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	go v.write(os.NewFile(uintptr(v.Pipe), "pipe"), w)
	word, err := socketOf(uintptr(v.Word))
	if err != nil {
		return err
	}
	defer word.Close()
	if err := Send(word, true); err != nil {
		return fmt.Errorf("the starter ended: %w", err)
	}
	var a answer
	switch _, err := Receive(word, &a); {
	case errors.Is(err, io.EOF):
		return k.started() // the service has the starter's place, or has ended already
	case err != nil:
		return err
	}
	return a.err()
}

// started says so.
func (k *keeper) started() error {
	defer k.conn.Close()
	return Send(k.conn, answer{Started: true})
}

// nameOf returns the name of a process as the kernel wants it.
func nameOf(path string) uintptr {
	b, err := unix.BytePtrFromString(filepath.Base(path))
	if err != nil {
		return 0
	}
	return uintptr(unsafe.Pointer(b))
}

// write writes what arrives on r into the log.
func (v *kept) write(r *os.File, w *logfile.Writer) {
	defer close(v.logged)
	defer w.Close()
	for b := make([]byte, 64<<10); ; {
		n, err := r.Read(b)
		if err != nil {
			return
		}
		_, _ = w.Write(b[:n])
	}
}

// keepService collects what ends and passes signals on until the service has ended, then ends what it
// left behind and returns its exit code.
func (k *keeper) keepService() int {
	deaths := make(chan procfs.Death)
	go procfs.Reap(deaths)
	for {
		select {
		case s := <-k.heard:
			k.pass(s)
		case d, some := <-deaths:
			if !some {
				return 1
			}
			if d.PID != k.pid {
				continue
			}
			e := exitOf(d.Status)
			if e.Left = remains(deaths); !e.Left {
				deaths = nil
			}
			k.report(e)
			k.clear(deaths)
			return e.Code
		}
	}
}

// remains reports whether processes are left after a moment: helpers of a service that is done may need
// one to end.
func remains(deaths <-chan procfs.Death) bool {
	const moment = 50 * time.Millisecond
	for over := time.After(moment); ; {
		select {
		case _, some := <-deaths:
			if !some {
				return false
			}
		case <-over:
			return true
		}
	}
}

// pass passes a signal on to the command's process group, as a terminal does it.
func (k *keeper) pass(s os.Signal) {
	if n, ok := s.(syscall.Signal); ok {
		_ = syscall.Kill(-k.pid, n)
	}
}

// clear ends what the service left behind, and returns when all that was printed is in the log.
// Processes that the kernel does not let go are not waited for.
func (k *keeper) clear(deaths <-chan procfs.Death) {
	const unkillable, look = 5 * time.Second, 5 * time.Millisecond
	k.kept.all(syscall.SIGTERM)
	k.kept.all(syscall.SIGCONT)
	kill, tick := time.After(k.kept.Linger), (<-chan time.Time)(nil)
	var last <-chan time.Time
	for deaths != nil {
		select {
		case _, some := <-deaths:
			if !some {
				deaths = nil
			}
		case s := <-k.heard:
			k.pass(s)
		case <-kill:
			tick, last = time.Tick(look), time.After(unkillable)
		case <-tick: // repeatedly: they may have started others
			k.kept.all(syscall.SIGKILL)
		case <-last:
			deaths = nil
		}
	}
	select {
	case <-k.kept.logged:
	case <-time.After(unkillable):
	}
}

// all signals every other process that the keeper keeps.
func (v *kept) all(sig syscall.Signal) {
	if v.Apart {
		_ = syscall.Kill(-1, sig)
		return
	}
	for _, p := range procfs.Below(os.Getpid()) {
		p.Signal(sig)
	}
}

// report writes how a service ended, for an agent that is not the parent.
func (k *keeper) report(e Exit) {
	if k.exit == nil {
		return
	}
	if b, err := json.Marshal(e); err == nil {
		_, _ = k.exit.Write(b)
	}
}

// folderAlone opens dir so that no way leads out of it, where this process has mounts of its own: the
// machine's folders are above it.
func folderAlone(dir string, bare bool) (*os.File, error) {
	if bare {
		return os.Open(dir)
	}
	if err := apart(); err != nil {
		return nil, err
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	return f, errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH))
}
