package crash

import (
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

// Program runs cmd, a real program as it is released, and kills it with SIGKILL before its n-th change of a disk; with n = 0
// it runs to its end. It returns how many changes there were, and whether it was killed. What the program starts is
// not traced and not killed. cmd's streams are files or nil. Needs ptrace, which every process has over its children.
//
// A change is a system call that makes, links, names, removes, cuts, writes or syncs something with a name in a file
// system; the order of them may differ a little from run to run, as threads do.
func Program(t testing.TB, cmd *exec.Cmd, n int) (changes int, killed bool) {
	t.Helper()
	type end struct {
		changes int
		status  unix.WaitStatus
		err     error
	}
	done := make(chan end)
	go func() {
		runtime.LockOSThread() // a tracer is a thread; it ends with this goroutine
		var e end
		e.changes, e.status, e.err = trace(cmd, n)
		done <- e
	}()
	e := <-done
	if e.err != nil {
		t.Fatalf("trace %s: %v", cmd.Path, e.err)
	}
	if !e.status.Signaled() && e.status.ExitStatus() != 0 {
		t.Fatalf("%q ended with exit code %d", cmd.Args, e.status.ExitStatus())
	}
	return e.changes, e.status.Signaled()
}

const (
	syscallStop = syscall.SIGTRAP | 0x80
	options     = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
)

func trace(cmd *exec.Cmd, n int) (changes int, status unix.WaitStatus, err error) {
	// A group of its own, so that waiting takes nobody else's children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	pid := cmd.Process.Pid
	defer func() { err = errors.Join(err, cmd.Process.Release()) }()
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil || !status.Stopped() {
		return 0, status, fmt.Errorf("no stop at its start: %w", err)
	}
	if err := unix.PtraceSetOptions(pid, options); err != nil {
		return 0, status, err
	}
	if err := unix.PtraceSyscall(pid, 0); err != nil {
		return 0, status, err
	}
	known := map[int]bool{pid: true}
	for {
		tid, err := unix.Wait4(-pid, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return changes, status, err
		}
		if !status.Stopped() {
			if tid == pid { // the last of its threads to be reported
				return changes, status, nil
			}
			continue
		}
		pass := 0
		switch sig := status.StopSignal(); {
		case sig == syscallStop:
			if change(pid, tid) {
				if changes++; changes == n {
					if err := unix.Kill(pid, unix.SIGKILL); err != nil {
						return changes, status, err
					}
					continue
				}
			}
		case sig == syscall.SIGTRAP && status.TrapCause() > 0, sig == syscall.SIGSTOP && !known[tid]: // a thread is made, and begins
		default:
			pass = int(sig)
		}
		known[tid] = true
		// A thread that was killed meanwhile is not there any more.
		if err := unix.PtraceSyscall(tid, pass); err != nil && !errors.Is(err, unix.ESRCH) {
			return changes, status, err
		}
	}
}

// syscallInfo is struct ptrace_syscall_info of <linux/ptrace.h>, at the entry to a system call.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	_    [2]uint64
	nr   uint64
	args [6]uint64
}

const getSyscallInfo, entry = 0x420e, 1

// change reports whether the thread tid stands before a change of a disk.
func change(pid, tid int) bool {
	var info syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || info.op != entry {
		return false
	}
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
