package process_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/runtime"
	"overland/internal/runtime/process"
)

// attacker is a user of the machine who has nothing to do with the service.
const attacker = 1234

// forge starts a process of the attacker that says of itself that it is a run of w's service, in
// every form that there ever was.
func forge(t *testing.T, w *world, seconds string) *exec.Cmd {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(sleep, seconds)
	cmd.Dir = "/"
	cmd.Env = []string{fmt.Sprintf("OVERLAND_RUN=AAAA %s %s", w.inst.Digest(), w.inst.Record), "OVERLAND_INSTANCE=" + w.inst.Name}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: attacker, Gid: attacker}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestS5AnotherUserTakesNoServicesPlace(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "serve")
		fake := forge(t, w, "1000")
		defer func() { _ = fake.Process.Kill(); _ = fake.Wait() }()
		if p, ok := r.Adopt(t.Context(), w.inst); ok {
			t.Errorf("process %d, a stranger, was adopted", p.PID())
			p.Release()
		}
		p := w.start(r)
		w.ready(1)
		w.stop(p)
		if err := fake.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("the stranger was hurt: %v", err)
		}
		if p, ok := r.Find(t.Context(), w.inst.Record); ok {
			t.Errorf("process %d, a stranger, was found", p.PID())
			p.Release()
		}
	})
}

func TestS5ForgedMarksKeepNoServiceDown(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "serve")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		over, ended := make(chan struct{}), make(chan struct{})
		var forged atomic.Int32
		go func() {
			defer close(ended)
			for {
				select {
				case <-over:
					return
				case <-time.After(4 * time.Millisecond):
					fake := forge(t, w, "0.1")
					go func() { _ = fake.Wait() }()
					forged.Add(1)
				}
			}
		}()
		for forged.Load() < 20 {
			time.Sleep(time.Millisecond)
		}
		for range 2 {
			p, err := r.Start(ctx, w.inst)
			if err != nil {
				t.Fatalf("kept down by %d forged processes: %v", forged.Load(), err)
			}
			w.ready(1)
			if err := p.Stop(ctx, time.Minute); err != nil {
				t.Errorf("not stopped: %v", err)
			}
			p.Release()
		}
		close(over)
		<-ended
		t.Logf("%d processes of another user said that they were the service", forged.Load())
	})
}

// A record that names a process of another user, as one that has got the number, names nobody; nor, where
// there are control groups, does one that names a process of the same user which is not of the run.
func TestS5ARecordedProcessOfAnotherUserIsNotAdopted(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "serve")
		w.start(r).Release()
		w.ready(1)
		rec, ok := process.ReadRecord(w.inst.Record)
		if !ok {
			t.Fatal("no record")
		}
		// It holds the run's id, which nobody else may know, and says who the service is.
		for _, path := range []string{w.inst.Record, w.inst.Record + ".exit"} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v", path, err)
			}
		}
		users := []uint32{attacker}
		if os.Geteuid() == 0 && rec.Group != "" {
			users = append(users, attacker+1) // the stranger's
		}
		for _, uid := range users {
			changed := rec
			changed.UID, changed.GID = uid, attacker
			if os.Geteuid() == 0 { // what our own keeper may still be
				changed.PID, changed.Start = stranger(t)
			}
			if err := changed.Write(w.inst.Record); err != nil {
				t.Fatal(err)
			}
			if p, ok := r.Adopt(t.Context(), w.inst); ok {
				t.Errorf("process %d was adopted for the user %d", p.PID(), uid)
				p.Release()
			}
		}
		if err := rec.Write(w.inst.Record); err != nil {
			t.Fatal(err)
		}
		p, ok := r.Adopt(t.Context(), w.inst)
		if !ok {
			t.Fatal("the service itself is not adopted")
		}
		w.stop(p)
	})
}

// stranger returns a process of another user than the attacker, and its start.
func stranger(t *testing.T) (int, uint64) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: attacker + 1, Gid: attacker}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid, process.StartOf(cmd.Process.Pid)
}

// confess tells what a service has and reaches.
func confess() {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		for _, name := range []string{"NoNewPrivs:", "CapEff:", "CapBnd:", "CapAmb:", "Seccomp:"} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				say("%s %s", name, strings.TrimSpace(rest))
			}
		}
	}
	score, _ := os.ReadFile("/proc/self/oom_score_adj")
	nice, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)
	old := unix.Umask(0)
	fds, _ := os.ReadDir("/proc/self/fd")
	var open []string
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.Contains(to, "secret") {
			open = append(open, to)
		}
	}
	say("oom %s nice %d umask %03o secrets %v", strings.TrimSpace(string(score)), 20-nice, old, open)
	out, err := os.OpenFile("/dev/stdout", os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = out.WriteString("reopened\n")
	}
	say("stdout %v", err)
	if info, err := os.Stdout.Stat(); err == nil {
		say("stdout for others %o", info.Mode().Perm()&0o007)
	}
	_, err = unix.FcntlInt(1, unix.F_SETLEASE, unix.F_WRLCK)
	say("lease %v, mode %v", err, os.Stdout.Chmod(0o4777))
	for _, path := range strings.Split(os.Getenv("TRY_WRITE"), ":") {
		say("write %s: %v", path, os.WriteFile(path, []byte("x"), 0o600))
	}
	for _, path := range strings.Split(os.Getenv("TRY_READ"), ":") {
		_, err := os.ReadFile(path)
		say("read %s: %v", path, err)
	}
	if path := os.Getenv("TRY_SETID"); path != "" {
		err := os.WriteFile(path, nil, 0o755)
		say("set-user-ID %v, %v", err, os.Chmod(path, 0o755|os.ModeSetuid))
	}
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Bind(l, &unix.SockaddrInet4{Port: 1011, Addr: [4]byte{127, 0, 0, 1}})
	}
	say("low port %v", err)
	say("processes %d", processes())
	say("end")
}

func processes() (n int) {
	list, _ := os.ReadDir("/proc")
	for _, e := range list {
		if e.Name()[0] >= '0' && e.Name()[0] <= '9' {
			n++
		}
	}
	return n
}

// confession starts a service that tells what it has, and returns that.
func confession(t *testing.T, change func(w *world)) (*world, string) {
	t.Helper()
	w := newWorld(t, "confess")
	w.inst.Program = filepath.Join(w.dir, "program")
	copyProgram(t, w.inst.Program)
	open(t, w.dir)
	w.inst.Log = filepath.Join(t.TempDir(), "log") // the folder becomes the service's
	change(w)
	if err := runtime.MakeData(fsx0, w.inst); err != nil {
		t.Fatal(err)
	}
	p := w.start(process.New(process.Options{}))
	var lines []string
	for len(lines) == 0 || lines[len(lines)-1] != "end" {
		lines = append(lines, w.line())
	}
	if e := w.done(p); !e.OK() {
		t.Errorf("exit: %s", e)
	}
	return w, strings.Join(lines, "\n") + "\n"
}

func wantAll(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
}

func TestS17AServiceHasTheLeast(t *testing.T) {
	elsewhere := t.TempDir()
	secret := filepath.Join(elsewhere, "secret")
	if err := os.WriteFile(secret, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, elsewhere)
	// What the shell that started the agent happens to have.
	left, err := os.Open(secret)
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	if _, err := unix.FcntlInt(left.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("100"), 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.WriteFile("/proc/self/oom_score_adj", score, 0) }()
	own := "overland-" + rand.Text() // a name that nothing of this machine has
	w, got := confession(t, func(w *world) {
		old := unix.Umask(0o077)
		t.Cleanup(func() { unix.Umask(old) })
		w.inst.User = "61234"
		w.inst.Env = append(w.inst.Env, "TRY_WRITE=/etc/"+own+":/"+own+":/tmp/"+own+":"+filepath.Join(w.dir, own), "TRY_READ="+secret+":/etc/shadow:/etc/os-release")
	})
	wantAll(t, got, "NoNewPrivs: 1\n", "CapEff: 0000000000000000\n", "CapBnd: 0000000000000000\n", "Seccomp: 2\n",
		"oom 0 nice 0 umask 022 secrets []\n", "stdout <nil>\n", "stdout for others 0\n",
		// With a lease on its log it would hold up its agent, 45 s at each look.
		"lease permission denied, mode chmod /dev/stdout: operation not permitted\n",
		"write /etc/"+own+": open /etc/"+own+": read-only file system\n", "write /"+own+": open /"+own+": read-only file system\n",
		"write /tmp/"+own+": <nil>\n", w.dir+"/"+own+": <nil>\n",
		"read "+secret+": open "+secret+": no such file or directory\n", "read /etc/shadow: open /etc/shadow: permission denied\n", "read /etc/os-release: <nil>\n",
		"low port permission denied\n", "processes 2\n")
	if _, err := os.Stat("/tmp/" + own); err == nil {
		t.Error("/tmp is not its own")
	}
	if !strings.Contains(w.log(), "reopened\n") {
		t.Errorf("log %q", w.log())
	}
}

// A self-test's program has no more than the service that it is about.
func TestS17SelfTestsHaveTheLeastToo(t *testing.T) {
	w := newWorld(t, "serve")
	w.inst.User = "61234"
	var out bytes.Buffer
	e, err := process.New(process.Options{}).Exec(t.Context(), w.inst, []string{"cat", "/proc/self/status"}, &out)
	if err != nil || !e.OK() {
		t.Fatalf("%s, %v", e, err)
	}
	wantAll(t, out.String(), "Uid:\t61234\t61234\t61234\t61234\n", "NoNewPrivs:\t1\n", "CapEff:\t0000000000000000\n", "Seccomp:\t2\n", "Umask:\t0022\n")
	if e, err := process.New(process.Options{}).Exec(t.Context(), w.inst, []string{"touch", "/etc/overland-" + rand.Text()}, &out); err != nil || e.OK() {
		t.Errorf("it wrote to /etc: %s, %v", e, err)
	}
}

func TestS17CapabilitiesAreAskedFor(t *testing.T) {
	_, got := confession(t, func(w *world) {
		w.inst.User = "61234"
		w.inst.Spec.Capabilities = []string{"net_bind_service"}
	})
	wantAll(t, got, "CapEff: 0000000000000400\n", "CapBnd: 0000000000000400\n", "NoNewPrivs: 1\n", "low port <nil>\n")
}

// Root that gave everything up is not root.
func TestS17RootHasTheLeastToo(t *testing.T) {
	_, got := confession(t, func(w *world) {
		w.inst.User = "0"
		w.inst.Env = append(w.inst.Env, "TRY_WRITE=/etc/x:/proc/sys/kernel/hostname:/proc/sysrq-trigger")
	})
	wantAll(t, got, "NoNewPrivs: 1\n", "CapEff: 0000000000000000\n", "Seccomp: 2\n", "write /etc/x: open /etc/x: read-only file system\n",
		"write /proc/sys/kernel/hostname: open /proc/sys/kernel/hostname: read-only file system\n", "low port permission denied\n")
}

// Nor does it look into its keeper, with the one right that that has.
func TestS17RootDoesNotTraceItsKeeper(t *testing.T) {
	_, got := confession(t, func(w *world) {
		w.inst.User, w.inst.Spec.Capabilities = "0", []string{"kill"}
		w.inst.Env = append(w.inst.Env, "TRY_READ=/proc/1/environ")
	})
	wantAll(t, got, "CapEff: 0000000000000020\n", "processes 2\n", "read /proc/1/environ: open /proc/1/environ: permission denied\n")
}

// The machine's sockets below /run trust root, whatever it gave up: a service sees none that it did not
// ask for, whoever it is. What it leaves for the machine's other users runs as them alone.
func TestS17RootReachesNothingOfTheMachinesThroughFiles(t *testing.T) {
	dir, err := os.MkdirTemp("/run", "overland-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	elsewhere := t.TempDir()
	open(t, elsewhere)
	socket := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	setID := filepath.Join(elsewhere, "sh")
	try := func(writable ...string) string {
		_, got := confession(t, func(w *world) {
			w.inst.User = "0"
			w.inst.Spec.Writable = append(writable, elsewhere)
			w.inst.Env = append(w.inst.Env, "TRY_READ="+socket, "TRY_WRITE=/run/own.pid", "TRY_SETID="+setID)
		})
		return got
	}
	wantAll(t, try(), "read "+socket+": open "+socket+": no such file or directory\n", "write /run/own.pid: <nil>\n",
		"set-user-ID <nil>, chmod "+setID+": operation not permitted\n")
	if info, err := os.Stat(setID); err != nil || info.Mode()&os.ModeSetuid != 0 {
		t.Errorf("left for everybody: %v, %v", info, err)
	}
	wantAll(t, try(socket), "read "+socket+": open "+socket+": no such device or address\n") // a socket is there
}

// Names are still resolved where a resolver keeps its list of servers below /run.
func TestNameServersBelowRun(t *testing.T) {
	run := t.TempDir()
	list := filepath.Join(run, "resolver", "resolv.conf")
	if err := errors.Join(os.Mkdir(filepath.Dir(list), 0o755), os.WriteFile(list, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		t.Helper()
		m := process.NameServers(list, run)
		if len(m) != 1 || m[0].Source != m[0].Target || m[0].Writable {
			t.Fatalf("mounts %+v", m)
		}
		return m[0].Target
	}
	if got := shown(); got != filepath.Dir(list) {
		t.Errorf("of a folder that holds lists alone: %s", got)
	}
	l, err := net.Listen("unix", filepath.Join(run, "resolver", "control"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := shown(); got != list {
		t.Errorf("of a folder with a socket: %s", got)
	}
	if m := process.NameServers(filepath.Join(run, "missing"), run); len(m) != 0 {
		t.Errorf("of no list: %+v", m)
	}
}

func TestS17NoIsolationLeavesTheUserAsItIs(t *testing.T) {
	elsewhere := t.TempDir()
	_, got := confession(t, func(w *world) {
		w.inst.User = "0"
		w.inst.Spec.Isolation = appfile.NoIsolation
		w.inst.Env = append(w.inst.Env, "TRY_WRITE="+filepath.Join(elsewhere, "x"))
	})
	wantAll(t, got, "NoNewPrivs: 0\n", "Seccomp: 0\n", "umask 022", filepath.Join(elsewhere, "x")+": <nil>\n", "low port <nil>\n")
}

func TestS17WritablePathsAreAskedFor(t *testing.T) {
	elsewhere := t.TempDir()
	open(t, elsewhere)
	if err := os.Chmod(elsewhere, 0o777); err != nil {
		t.Fatal(err)
	}
	_, got := confession(t, func(w *world) {
		w.inst.User = "61234"
		w.inst.Spec.Writable = []string{elsewhere}
		w.inst.Env = append(w.inst.Env, "TRY_WRITE="+filepath.Join(elsewhere, "x"))
	})
	wantAll(t, got, filepath.Join(elsewhere, "x")+": <nil>\n")
	if _, err := os.Stat(filepath.Join(elsewhere, "x")); err != nil {
		t.Error(err)
	}
}

// What is asked for is never what others own: the node's folder by any name, and a number that is no user's,
// with which the kernel leaves a process root's.
func TestS17WhatNobodyMayAskFor(t *testing.T) {
	node := t.TempDir()
	open(t, node)
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Mkdir(filepath.Join(node, "volumes"), 0o777), os.Symlink(node, link)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, writable string
		want           errs.Kind
	}{
		{"61234", filepath.Join(node, "volumes"), errs.Denied},
		{"61234", node, errs.Denied},
		{"61234", filepath.Dir(node), errs.Denied},
		{"61234", "/", errs.Denied},
		{"0", filepath.Join(link, "volumes"), errs.Denied},
		{"4294967295", "", errs.Invalid},
		{"61234:4294967295", "", errs.Invalid},
	} {
		w := newWorld(t, "serve")
		w.inst.User, w.inst.Hidden = c.user, []string{node}
		if c.writable != "" {
			w.inst.Spec.Writable = []string{c.writable}
		}
		p, err := process.New(process.Options{}).Start(t.Context(), w.inst)
		if err == nil {
			uid, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
			t.Errorf("%+v: it runs: %s", c, uid)
			w.stop(p)
			continue
		}
		if errs.KindOf(err) != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestS17LimitsHoldAndAreNamed(t *testing.T) {
	w := newWorld(t, "eat")
	w.inst.Spec.Limits = appfile.Limits{Memory: 64 << 20, Processes: 100}
	e := w.done(w.start(process.New(process.Options{})))
	if e.OK() || !strings.Contains(e.String(), "the limit of 64 MiB for memory was reached") {
		t.Errorf("exit: %s", e)
	}
}

// A service that names no limits has some.
func TestS17AServiceWithoutLimitsHasSome(t *testing.T) {
	w := newWorld(t, "serve")
	p := w.start(process.New(process.Options{}))
	of, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var most []byte
	for line := range strings.Lines(string(of)) {
		at := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path, as in cgroups(7)
		for _, root := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
			if b, err := os.ReadFile(filepath.Join(root, at[2], "pids.max")); err == nil && strings.Contains(at[2], "/overland/") {
				most = b
			}
		}
	}
	if string(most) != "4096\n" {
		t.Errorf("processes: %q of %s", most, of)
	}
	var size unix.Statfs_t
	if err := unix.Statfs(fmt.Sprintf("/proc/%d/root/tmp", p.PID()), &size); err != nil {
		t.Fatal(err)
	}
	if got := size.Blocks * uint64(size.Bsize); got == 0 || got > 1<<30 {
		t.Errorf("its /tmp holds %d bytes", got)
	}
	w.stop(p)
}

// A service that asks for the right to make devices can use none: it tries to write a disk.
func TestS17AServiceCannotWriteTheDisk(t *testing.T) {
	w := newWorld(t, "disk")
	w.inst.User, w.inst.Spec.Capabilities = "0", []string{"mknod", "dac_override"}
	p := w.start(process.New(process.Options{}))
	for range 3 {
		if got := w.line(); !strings.HasSuffix(got, "operation not permitted") && !strings.HasSuffix(got, "permission denied") {
			t.Error(got)
		}
	}
	w.done(p)
}

// disk tries to reach disks, by devices that it makes itself: where it writes, in memory, in /dev.
func disk() {
	for _, dir := range []string{filepath.Dir(os.Getenv("OVERLAND_TEST_FIFO")), "/tmp", "/dev"} {
		path := filepath.Join(dir, "disk")
		err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))) // the first loop device
		if err == nil {
			var f *os.File
			if f, err = os.OpenFile(path, os.O_RDWR, 0); err == nil {
				f.Close()
			}
		}
		say("disk in %s: %v", dir, err)
	}
}
