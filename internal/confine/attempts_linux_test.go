package confine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/confine"
)

// attemptVerb makes this test program try what must not be possible: attemptVerb WORLD, where WORLD
// is what the machine outside has, as JSON. It prints the names of what it could do.
const attemptVerb = "attempt"

// world is what a confined command must not reach.
type world struct {
	Secret   string // a file that everybody may read
	Folder   string // a folder that everybody may write to
	TCP      string // address of a listener
	Abstract string // abstract unix socket
	Socket   string // unix socket, a path
	PID      int    // a process
	UID      int    // who the command is, as it sees itself
}

// attempts try what must fail; nil is success. Each is told the world outside.
var attempts = map[string]func(w world) error{
	"read a file of the machine":     func(w world) error { return open(w.Secret, os.O_RDONLY) },
	"go above the root":              func(w world) error { return open("/.."+w.Secret, os.O_RDONLY) },
	"write to a folder outside":      func(w world) error { return os.WriteFile(filepath.Join(w.Folder, "x"), nil, 0o600) },
	"change a program":               func(world) error { return os.WriteFile("/usr/bin/overland-was-here", nil, 0o755) },
	"change the root":                func(world) error { return os.WriteFile("/overland-was-here", nil, 0o755) },
	"reach a listener":               func(w world) error { return dial("tcp", w.TCP) },
	"reach an abstract socket":       func(w world) error { return dial("unix", w.Abstract) },
	"reach a socket by its path":     func(w world) error { return dial("unix", w.Socket) },
	"see a process":                  func(w world) error { return sees(w.PID) },
	"signal a process":               func(w world) error { return unix.Kill(w.PID, 0) },
	"read what process 1 was given":  func(world) error { return read("/proc/1/environ") },
	"trace process 1":                trace,
	"leave through process 1":        func(world) error { return open("/proc/1/root/etc", os.O_RDONLY) },
	"keep a descriptor":              inherited,
	"become root":                    func(world) error { return setuid(0) },
	"become somebody else":           func(w world) error { return setuid(w.UID + 1) },
	"mount":                          func(world) error { return unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "") },
	"unmount":                        func(world) error { return unix.Unmount("/proc", unix.MNT_DETACH) },
	"make the system writable":       func(world) error { return unix.Mount("", "/usr", "", unix.MS_REMOUNT|unix.MS_BIND, "") },
	"change the root folder":         func(world) error { return unix.Chroot("/tmp") },
	"make a device":                  device,
	"make a user namespace":          func(world) error { return exec.Command("unshare", "--user", "true").Run() },
	"make a mount namespace":         func(world) error { return unix.Unshare(unix.CLONE_NEWNS) },
	"clone a user namespace":         cloneUser,
	"clone by the newer call":        func(world) error { return call(unix.SYS_CLONE3, 0, 0) },
	"set the host name":              func(world) error { return unix.Sethostname([]byte("x")) },
	"set the clock":                  func(world) error { return unix.Settimeofday(&unix.Timeval{Sec: 1}) },
	"write a kernel setting":         func(world) error { return os.WriteFile("/proc/sys/kernel/core_pattern", []byte("|/x"), 0) },
	"press a system request":         func(world) error { return open("/proc/sysrq-trigger", os.O_WRONLY) },
	"read the kernel's memory":       func(world) error { return firstByte("/proc/kcore") },
	"read the keyring":               func(world) error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); return err },
	"load a program into the kernel": func(world) error { return call(unix.SYS_BPF, 0, 0) },
	"watch the processor":            func(world) error { return call(unix.SYS_PERF_EVENT_OPEN, 0, 0) },
	"load a module":                  func(world) error { return call(unix.SYS_INIT_MODULE, 0, 0) },
	"load another kernel":            func(world) error { return call(unix.SYS_KEXEC_LOAD, 0, 0) },
	"open a file by its handle":      func(world) error { return call(unix.SYS_OPEN_BY_HANDLE_AT, 0, 0) },
	"handle page faults":             func(world) error { return call(unix.SYS_USERFAULTFD, 0, 0) },
	"open a raw socket":              func(world) error { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) },
	"open a packet socket":           func(world) error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0) },
	"open a socket to the host":      func(world) error { return socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0) },
	"open a socket to the ciphers":   func(world) error { return socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0) },
	"open the machine's disk":        disk,
	"read the kernel's log":          func(world) error { _, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, make([]byte, 10)); return err },
	"have a terminal":                func(world) error { return open("/dev/tty", os.O_RDWR) },
}

func open(path string, flags int) error {
	f, err := os.OpenFile(path, flags, 0)
	if err == nil {
		f.Close()
	}
	return err
}

func read(path string) error { _, err := os.ReadFile(path); return err }

func firstByte(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	return err
}

func dial(network, address string) error {
	c, err := net.DialTimeout(network, address, time.Second)
	if err == nil {
		c.Close()
	}
	return err
}

func sees(pid int) error { _, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/stat"); return err }

// inherited looks for an open file or socket that came from outside. Go itself opens files of its
// control group.
func inherited(world) error {
	const first, some = 3, 20
	for fd := first; fd < some; fd++ {
		to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil || strings.HasPrefix(to, "/proc") || strings.HasPrefix(to, "/sys/fs/cgroup") || strings.HasPrefix(to, "anon_inode") {
			continue
		}
		fmt.Println(fd, to)
		return nil
	}
	return errors.New("none")
}

func trace(world) error {
	runtime.LockOSThread()
	if err := unix.PtraceAttach(1); err != nil {
		return err
	}
	_, _ = unix.Wait4(1, nil, 0, nil)
	return unix.PtraceDetach(1)
}

func setuid(uid int) error {
	runtime.LockOSThread() // and never unlocked: the thread is spoilt
	_, _, errno := unix.RawSyscall(unix.SYS_SETUID, uintptr(uid), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func device(world) error {
	const path = "/tmp/disk"
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))); err != nil {
		return err
	}
	return open(path, os.O_RDONLY)
}

// disk looks for a disk below /dev.
func disk(world) error {
	found := errors.New("none")
	_ = filepath.WalkDir("/dev", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type()&os.ModeDevice != 0 && d.Type()&os.ModeCharDevice == 0 {
			found = nil
		}
		return nil
	})
	return found
}

func cloneUser(world) error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	switch {
	case errno != 0:
		return errno
	case pid == 0:
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

// call makes a system call with arguments that lead nowhere: only what a filter or a missing right
// says counts as failure.
func call(nr, a, b uintptr) error {
	_, _, errno := unix.RawSyscall6(nr, a, b, 0, 0, 0, 0)
	if errno == unix.EPERM || errno == unix.ENOSYS || errno == unix.EACCES {
		return errno
	}
	return nil
}

func socket(domain, kind, proto int) error {
	fd, err := unix.Socket(domain, kind, proto)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// attempt tries everything, each in a process of its own, and prints what it could do.
func attempt(args []string) {
	if len(args) > 1 {
		var w world
		if err := json.Unmarshal([]byte(args[0]), &w); err != nil {
			panic(err)
		}
		if err := attempts[args[1]](w); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	for name := range attempts {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if err := exec.CommandContext(ctx, "/proc/self/exe", attemptVerb, args[0], name).Run(); err == nil {
			fmt.Println(name)
		}
		cancel()
	}
	fmt.Println("done")
}

// outside makes a world and returns it.
func outside(t *testing.T) world {
	t.Helper()
	dir, err := os.MkdirTemp("", "outside")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o1777); err != nil {
		t.Fatal(err)
	}
	w := world{Secret: filepath.Join(dir, "key"), Folder: dir, Abstract: "@" + dir, Socket: filepath.Join(dir, "socket"), PID: os.Getpid(), UID: 1000}
	if err := os.WriteFile(w.Secret, []byte("secret"), 0o444); err != nil {
		t.Fatal(err)
	}
	for network, address := range map[string]*string{"tcp": &w.TCP, "unix": &w.Abstract} {
		at := *address
		if network == "tcp" {
			at = "127.0.0.1:0"
		}
		l, err := net.Listen(network, at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		*address = l.Addr().String()
	}
	l, err := net.Listen("unix", w.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(w.Socket, 0o777); err != nil {
		t.Fatal(err)
	}
	return w
}

// program returns this test program, in a folder that everybody may read.
func program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// soon returns a context for a command that must end.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// possible returns what a run of the attempts could do.
func possible(t *testing.T, out string, err error) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || lines[len(lines)-1] != "done" {
		t.Fatalf("the attempts did not end well: %v\n%s", err, out)
	}
	list := lines[:len(lines)-1]
	slices.Sort(list)
	return list
}

// Outside of any confinement most attempts of root get through: else they would prove nothing.
func TestAttemptsAreReal(t *testing.T) {
	w := outside(t)
	text, _ := json.Marshal(w)
	for _, name := range []string{
		"read a file of the machine", "write to a folder outside", "reach a listener", "reach an abstract socket", "reach a socket by its path",
		"see a process", "signal a process", "become somebody else", "mount", "change the root folder", "make a mount namespace",
		"open a raw socket", "make a user namespace", "keep a descriptor", "open a packet socket", "set the host name", "read the kernel's log",
	} {
		// Namespaces keep what succeeds away from this machine.
		cmd := exec.CommandContext(soon(t), "unshare", "--mount", "--uts", program(t), attemptVerb, string(text), name)
		cmd.ExtraFiles = []*os.File{os.Stdin}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%q does not even work outside: %v: %s", name, err, out)
		}
	}
}

func TestNoAttemptGetsThrough(t *testing.T) {
	w := outside(t)
	text, _ := json.Marshal(w)
	users := map[string]confine.User{
		"in a user namespace": {ID: 1000, Group: 1000, HostID: 61000, HostGroup: 61000},
		"as root in one":      {HostID: 61000, HostGroup: 61000},
		"without one":         {ID: 61000, Group: 61000, Share: true},
		"as root without one": {Share: true},
	}
	for name, user := range users {
		t.Run(name, func(t *testing.T) {
			s := spec(t, attemptVerb, string(text))
			s.User = user
			s.Limits = confine.Limits{Memory: 1 << 30, Processes: 500}
			out, exit, err := run(t, s)
			if exit.Code != 0 {
				t.Errorf("%+v", exit)
			}
			got := possible(t, out, err)
			if user.ID == 0 { // it is already
				got = slices.DeleteFunc(got, func(s string) bool { return s == "become root" })
			}
			if len(got) > 0 {
				t.Errorf("it could: %s", strings.Join(got, "; "))
			}
		})
	}
}

// A service sees the machine's files, read-only: so what everybody may read is open to it, and the
// sockets of the machine, but nothing that changes the machine or its other programs. As root too.
func TestAServiceOfTheMachine(t *testing.T) {
	w := outside(t)
	text, _ := json.Marshal(w)
	for name, user := range map[string]confine.User{"root": {Share: true}, "another": {ID: 61000, Group: 61000, Share: true}} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, attemptVerb, string(text))
			s.Mounts = []confine.Mount{
				{Kind: confine.Bind, Source: "/", Target: "/"},
				{Kind: confine.Proc, Target: "/proc"},
				{Kind: confine.Devices, Target: "/dev"},
				{Kind: confine.Temp, Target: "/tmp", Mode: 0o1777},
				{Kind: confine.Temp, Target: "/run"},
				s.Mounts[len(s.Mounts)-1],
			}
			s.Mounts[len(s.Mounts)-1].Target = "/run/attempt"
			s.Path, s.User, s.Network = "/run/attempt", user, confine.NetworkHost
			out, _, err := run(t, s)
			got := slices.DeleteFunc(possible(t, out, err), func(s string) bool {
				return s == "reach a listener" || s == "reach an abstract socket" || s == "become root" && user.ID == 0
			})
			if len(got) > 0 {
				t.Errorf("it could: %s", strings.Join(got, "; "))
			}
		})
	}
}

// The same attempts in bubblewrap and runc: what these let through, or ours does, shows here.
func TestOraclesAgree(t *testing.T) {
	w := outside(t)
	text, _ := json.Marshal(w)
	t.Run("bubblewrap", func(t *testing.T) {
		out, err := exec.CommandContext(soon(t), "bwrap", "--unshare-all", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--new-session", "--die-with-parent", "--clearenv",
			"--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin",
			"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", program(t), "/attempt", "--remount-ro", "/",
			"/attempt", attemptVerb, string(text)).CombinedOutput()
		got := possible(t, string(out), err)
		// Bubblewrap brings no filter: these are the kernel's own
		// answers to a process without rights.
		t.Logf("possible in bubblewrap: %s", strings.Join(got, "; "))
		for _, name := range []string{"read a file of the machine", "reach a listener", "reach an abstract socket", "see a process", "mount", "become root"} {
			if slices.Contains(got, name) {
				t.Errorf("bubblewrap lets through: %s", name)
			}
		}
	})
	t.Run("runc", func(t *testing.T) {
		out, err := inRunc(t, []string{"/attempt", attemptVerb, string(text)})
		got := slices.DeleteFunc(possible(t, out, err), func(s string) bool {
			return strings.HasSuffix(s, "process 1") || s == "read what process 1 was given" // it is the command itself there
		})
		if len(got) > 0 {
			t.Errorf("it could: %s", strings.Join(got, "; "))
		}
	})
}
