package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Program runs cmd, a real program as it is released, and kills it with SIGKILL before its n-th
// change of a disk; with n = 0 it runs to its end. It returns how many changes there were, and
// whether it was killed. What the program starts is not traced and not killed. cmd's streams are
// files or nil. Needs ptrace, which every process has over its children.
//
// A change is a system call that makes, links, names, removes, cuts, writes or syncs something with
// a name in a file system; the order of them may differ a little from run to run, as threads do.
func Program(t testing.TB, cmd *exec.Cmd, n int) (changes int, killed bool) {
	t.Helper()
	x := &tracer{cmd: cmd, n: n}
	x.run(t)
	return x.changes, x.status.Signaled()
}

// AtTime runs cmd, a real program as it is released, to its end, with the machine's clock ahead by
// shift (seconds, may be negative) of what it is. Monotonic time, and what the program starts, go
// on as they are. Static programs need it: there is no library to preload.
func AtTime(t testing.TB, cmd *exec.Cmd, shift int64) {
	t.Helper()
	x := &tracer{cmd: cmd, shift: shift}
	x.run(t)
	if x.status.Signaled() {
		t.Fatalf("%q was killed: %s", cmd.Args, x.status.Signal())
	}
	if x.asked == 0 {
		t.Fatalf("%q never asked what time it is: where does it look?", cmd.Args)
	}
}

// tracer runs a program under ptrace.
type tracer struct {
	cmd   *exec.Cmd
	n     int   // the change before which it is killed; 0 = none
	shift int64 // seconds that are added to what the clock says

	changes int
	asked   int             // how often the time was asked for
	times   map[int]uintptr // by thread, where the kernel puts the time that it was asked for
	memory  *os.File        // of the program, when its clock is changed
	status  unix.WaitStatus // how it ended
}

func (x *tracer) run(t testing.TB) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // a tracer is a thread; it ends with this goroutine
		done <- x.trace()
	}()
	if err := <-done; err != nil {
		t.Fatalf("trace %s: %v", x.cmd.Path, err)
	}
	if !x.status.Signaled() && x.status.ExitStatus() != 0 {
		t.Fatalf("%q ended with exit code %d", x.cmd.Args, x.status.ExitStatus())
	}
}

const (
	syscallStop = syscall.SIGTRAP | 0x80
	options     = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
)

func (x *tracer) trace() (err error) {
	// A group of its own, so that waiting takes nobody else's children.
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true}
	if err := x.cmd.Start(); err != nil {
		return err
	}
	pid := x.cmd.Process.Pid
	defer func() { err = errors.Join(err, x.cmd.Process.Release()) }()
	if _, err := unix.Wait4(pid, &x.status, unix.WALL, nil); err != nil || !x.status.Stopped() {
		return fmt.Errorf("no stop at its start: %w", err)
	}
	if err := unix.PtraceSetOptions(pid, options); err != nil {
		return err
	}
	if x.shift != 0 {
		if err := x.hideVDSO(pid); err != nil {
			return err
		}
		defer x.memory.Close()
	}
	if err := unix.PtraceSyscall(pid, 0); err != nil {
		return err
	}
	known := map[int]bool{pid: true}
	for {
		tid, err := unix.Wait4(-pid, &x.status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if !x.status.Stopped() {
			if tid == pid { // the last of its threads to be reported
				return nil
			}
			continue
		}
		pass := 0
		switch sig := x.status.StopSignal(); {
		case sig == syscallStop:
			if killed, err := x.syscall(pid, tid); killed || err != nil {
				if err != nil {
					return err
				}
				continue
			}
		case sig == syscall.SIGTRAP && x.status.TrapCause() > 0, sig == syscall.SIGSTOP && !known[tid]: // a thread is made, and begins
		default:
			pass = int(sig)
		}
		known[tid] = true
		// A thread that was killed meanwhile is not there any more.
		if err := unix.PtraceSyscall(tid, pass); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
}

// syscall looks at the system call that the thread tid enters or leaves.
func (x *tracer) syscall(pid, tid int) (killed bool, err error) {
	info := look(tid)
	switch {
	case info.op == leave && x.times[tid] != 0:
		return false, x.lie(tid)
	case info.op != enter:
	case x.memory != nil && info.nr == unix.SYS_CLOCK_GETTIME && info.args[0] == unix.CLOCK_REALTIME:
		x.times[tid] = uintptr(info.args[1])
	case change(pid, info):
		if x.changes++; x.changes == x.n {
			return true, unix.Kill(pid, unix.SIGKILL)
		}
	}
	return false, nil
}

// lie changes the seconds that the kernel has just written for the thread tid.
func (x *tracer) lie(tid int) error {
	where := int64(x.times[tid])
	delete(x.times, tid)
	var b [8]byte
	if _, err := x.memory.ReadAt(b[:], where); err != nil {
		return err
	}
	binary.NativeEndian.PutUint64(b[:], binary.NativeEndian.Uint64(b[:])+uint64(x.shift))
	x.asked++
	_, err := x.memory.WriteAt(b[:], where)
	return err
}

// hideVDSO makes the program, which has not run yet, ask the kernel for the time: the kernel's
// own code in its memory, which tells it without a system call, is taken out of the list of
// what it was given at its start.
func (x *tracer) hideVDSO(pid int) (err error) {
	x.times = map[int]uintptr{}
	if x.memory, err = os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0); err != nil {
		return err
	}
	const word, vdso, ignore, most = 8, 33, 1, 1 << 20
	at := int64(look(pid).sp)
	next := func() uint64 {
		var b [word]byte
		if _, rerr := x.memory.ReadAt(b[:], at); rerr != nil {
			err = rerr
		}
		at += word
		return binary.NativeEndian.Uint64(b[:])
	}
	next() // the number of arguments; then they, and the environment, each with a zero at the end
	for range 2 {
		for i := 0; next() != 0 && err == nil && i < most; i++ {
		}
	}
	for i := 0; err == nil && i < most; i++ {
		switch key := next(); key {
		case vdso:
			var b [word]byte
			binary.NativeEndian.PutUint64(b[:], ignore)
			_, err = x.memory.WriteAt(b[:], at-word)
		case 0:
			return err
		}
		next()
	}
	return err
}

// syscallInfo is struct ptrace_syscall_info of <linux/ptrace.h>.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	ip   uint64
	sp   uint64
	nr   uint64 // of the system call that is entered
	args [6]uint64
}

const getSyscallInfo, enter, leave = 0x420e, 1, 2

// look returns where the thread tid stands; the zero value when it is gone.
func look(tid int) (info syscallInfo) {
	_, _, _ = unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	return info
}

// change reports whether info is the entry to a change of a disk.
func change(pid int, info syscallInfo) bool {
	switch info.nr {
	case unix.SYS_OPENAT:
		return info.args[2]&unix.O_CREAT != 0
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT:
		return true
	case unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_COPY_FILE_RANGE, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FSYNC,
		unix.SYS_FDATASYNC, unix.SYS_FCHMOD:
		fd := info.args[0]
		if info.nr == unix.SYS_COPY_FILE_RANGE {
			fd = info.args[2]
		}
		name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		return err == nil && strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "/dev/") && !strings.HasPrefix(name, "/proc/")
	}
	return false
}
