package confine_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/confine"
	"overland/internal/procfs"
)

// probeVerb makes this test program try every system call and print what a filter says of it.
const probeVerb = "probe"

// calls is how many numbers are tried: some more than any kernel here answers.
const calls = 480

// wait is how long a call may take; one that sleeps then was let through. On a busy machine its process may not even
// have begun.
const wait = 150 * time.Millisecond

// probe prints a line for each call: its number, and whether it is refused (EPERM), does not exist
// (ENOSYS) or gets through. All arguments are 0 but for flags that lead nowhere.
func probe() {
	for nr := range calls {
		fmt.Println(nr, try(uintptr(nr)))
	}
	fmt.Println("done")
}

// try makes the call in a process of its own, which ends with the error's number.
func try(nr uintptr) string {
	switch nr {
	case unix.SYS_EXIT, unix.SYS_EXIT_GROUP, forkCall, vforkCall, unix.SYS_CLONE, unix.SYS_RT_SIGRETURN, unix.SYS_KILL,
		unix.SYS_TKILL, unix.SYS_TGKILL, unix.SYS_SETSID, 335, 336: // the last two are the trampolines of uprobes: SIGILL
		return "not tried"
	}
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return "no process: " + errno.Error()
	}
	if pid == 0 {
		_, _, errno := unix.RawSyscall6(nr, 0, 0, 0, 0, 0, 0)
		unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(errno), 0, 0)
	}
	var status syscall.WaitStatus
	for deadline := time.Now().Add(wait); ; time.Sleep(100 * time.Microsecond) {
		if got, err := syscall.Wait4(int(pid), &status, syscall.WNOHANG, nil); err != nil || got == int(pid) {
			break
		}
		if time.Now().After(deadline) && sleeps(int(pid)) { // it waits for something: the filter let it through
			_ = syscall.Kill(int(pid), syscall.SIGKILL)
			_, _ = syscall.Wait4(int(pid), &status, 0, nil)
			return "through"
		}
	}
	switch {
	case status.Exited() && status.ExitStatus() == int(unix.EPERM):
		return "refused"
	case status.Exited() && status.ExitStatus() == int(unix.ENOSYS):
		return "not there"
	}
	return "through"
}

// sleeps reports whether a process waits for something, as far as can be seen.
func sleeps(pid int) bool {
	p, err := procfs.Read(pid)
	return err != nil || p.State == 'S'
}

// reviewed are the calls that we answer otherwise than runc with libseccomp does,
// with the reason. Those from newest on are younger than the libseccomp of Debian 12,
// which says that they do not exist.
var reviewed = map[string]string{"91": "fchmod of the standard input: /dev/null is the machine's in ours, and runc's own in runc"}

const newest = 457

func TestTheFilterAnswersAsRuncs(t *testing.T) {
	s := spec(t, probeVerb)
	s.User = confine.User{ID: 1000, Group: 1000, Share: true}
	ours, _, err := run(t, s)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := inRunc(t, []string{"/attempt", probeVerb})
	if err != nil {
		t.Fatalf("%v\n%s", err, theirs)
	}
	a, b := strings.Split(ours, "\n"), strings.Split(strings.TrimSpace(theirs), "\n")
	if len(a) != calls+1 || len(a) != len(b) {
		t.Fatalf("%d and %d answers:\n%s", len(a), len(b), ours)
	}
	var filtered int
	for k := range a {
		if !strings.HasSuffix(a[k], " through") {
			filtered++
		}
		nr, _, _ := strings.Cut(a[k], " ")
		young := k >= newest && strings.HasSuffix(b[k], " not there")
		if a[k] != b[k] && reviewed[nr] == "" && !young {
			t.Errorf("ours: %s; runc's: %s", a[k], b[k])
		}
	}
	const some = 100
	if filtered < some {
		t.Errorf("only %d calls are filtered", filtered)
	}
}
