package process_test

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/procfs"
	"overland/internal/runtime"
	"overland/internal/runtime/process"
)

func TestStartAndStop(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "serve")
		p := w.start(r)
		if got := w.ready(1)[0]; got != inside(t, p) {
			t.Errorf("the service is process %d, want %d", got, inside(t, p))
		}
		s, err := procfs.Read(p.PID())
		if err != nil || s.Session != p.PID() || s.Group != p.PID() {
			t.Errorf("stat %+v, %v: not the leader of a session of its own", s, err)
		}
		w.stop(p)
		if e := p.Exit(); !e.OK() {
			t.Errorf("exit: %s", e)
		}
		if got := w.log(); got != "serving\nbye\n" {
			t.Errorf("log %q", got)
		}
		if _, err := os.Stat(w.inst.Record); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the record is still there: %v", err)
		}
		w.allGone()
	})
}

func TestExitStatus(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		for role, want := range map[string]string{
			"exit=0": "exit code 0", "exit=3": "exit code 3", "abort": "killed by signal 9 (killed)",
			"daemon": "exit code 0; it went to the background",
		} {
			w := newWorld(t, role)
			if got := w.done(w.start(r)).String(); got != want && (role != "daemon" || !strings.HasPrefix(got, want)) {
				t.Errorf("%s: %s, want %s", role, got, want)
			}
		}
	})
}

func TestCleanEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_AGENT", "leaked")
	t.Setenv("TZ", "UTC")
	t.Setenv("PATH", "/root/.cargo/bin:/usr/bin:/bin")
	t.Setenv("HOME", "/root")
	w := newWorld(t, "whoami")
	w.inst.Args = []string{"-a", "b c"}
	w.inst.Env = append(w.inst.Env, "HOME=/elsewhere")
	r := process.New(process.Options{})
	p := w.start(r)
	got := w.line()
	for _, want := range []string{
		"dir " + w.dir, "stdin /dev/null", `args ["-a" "b c"]`, `"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"`, `"HOME=/elsewhere"`,
		`"OVERLAND_INSTANCE=TestCleanEnvironment"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	for _, leak := range []string{"SECRET", "HOME=/root", "cargo", "TZ="} {
		if strings.Contains(got, leak) {
			t.Errorf("%s leaked into %s", leak, got)
		}
	}
	w.done(p)
}

// The tests run as root: they are about a machine's agent.
func TestOtherUser(t *testing.T) {
	for text, want := range map[string]string{
		"nobody": "uid 65534 gid 65534", "1234": "uid 1234 gid 1234 groups []", "1234:77": "uid 1234 gid 77 groups []",
	} {
		t.Run(text, func(t *testing.T) {
			w := newWorld(t, "whoami")
			w.inst.User = text
			// The test's own folders are closed to others.
			w.inst.Program = filepath.Join(w.dir, "program")
			copyProgram(t, w.inst.Program)
			open(t, w.dir)
			p := w.start(process.New(process.Options{}))
			if got := w.line(); !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
			w.done(p)
		})
	}
}

func copyProgram(t *testing.T, to string) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// open lets other users into dir, a folder of t.TempDir.
func open(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("not a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*runtime.Instance)
		kind   errs.Kind
		text   string
	}{
		"missing program":     {func(i *runtime.Instance) { i.Program = "/no/such/program" }, errs.NotFound, "not there"},
		"relative program":    {func(i *runtime.Instance) { i.Program = "program" }, errs.Invalid, "absolute"},
		"not executable":      {func(i *runtime.Instance) { i.Program = plain }, errs.Invalid, "not an executable file"},
		"another CPU":         {func(i *runtime.Instance) { i.Program = garbage }, errs.Invalid, "CPU"},
		"missing interpreter": {func(i *runtime.Instance) { i.Program = script }, errs.Invalid, "C library"},
		"missing directory":   {func(i *runtime.Instance) { i.Dir = "/no/such/dir" }, errs.NotFound, "working directory"},
		"unknown user":        {func(i *runtime.Instance) { i.User = "nosuchuser" }, errs.NotFound, "no such user"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "serve")
			test.change(&w.inst)
			_, err := process.New(process.Options{}).Start(t.Context(), w.inst)
			if errs.KindOf(err) != test.kind || err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %v (%s), want %s: …%s…", err, errs.KindOf(err), test.kind, test.text)
			}
			if _, err := os.Stat(w.inst.Record); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a record is left: %v", err)
			}
		})
	}
}

func TestServiceIgnoringSIGTERMIsKilled(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "stubborn")
		p := w.start(r)
		w.ready(1)
		if err := p.Stop(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if e := p.Exit(); e.Signal != syscall.SIGKILL {
			t.Errorf("exit: %s", e)
		}
	})
}

func TestStopEndsGrandchildrenThatFledTheGroup(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "family")
		p := w.start(r)
		w.ready(5)
		if err := p.Stop(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
		w.allGone()
	})
}

func TestForkBombIsStopped(t *testing.T) {
	w := newWorld(t, "bomb")
	p := w.start(process.New(process.Options{}))
	w.ready(5) // in the middle of it
	if err := p.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	w.allGone()
}

func TestDoneMeansThatNothingIsLeft(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "family=dies")
		w.inst.Spec.StopTimeout = appfile.Duration(time.Millisecond)
		p := w.start(r)
		w.ready(5)
		if err := syscall.Kill(p.PID(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		if e := w.done(p); e.Code != 7 {
			t.Errorf("exit: %s", e)
		}
		w.allGone()
	})
}

func TestStopEndsWithItsContext(t *testing.T) {
	w := newWorld(t, "stubborn")
	p := w.start(process.New(process.Options{}))
	w.ready(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-p.Done():
		t.Error("it was killed")
	default:
	}
	if err := p.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

func TestReleasedServiceIsAdopted(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "serve")
		first := w.start(r)
		w.ready(1)
		first.Release()
		p, ok := r.Adopt(t.Context(), w.inst)
		if !ok {
			t.Fatal("not adopted")
		}
		t.Cleanup(p.Release)
		if p.PID() != first.PID() || !p.Info().Adopted || !p.Info().Since.Equal(first.Info().Since) {
			t.Errorf("adopted %d %+v, want %d %+v", p.PID(), p.Info(), first.PID(), first.Info())
		}
		w.stop(p)
		if e := p.Exit(); !e.OK() { // it is still our child
			t.Errorf("exit: %s", e)
		}
	})
}

func TestSecondCopyIsRefused(t *testing.T) {
	w := newWorld(t, "serve")
	r := process.New(process.Options{})
	p := w.start(r)
	w.ready(1)
	if _, err := r.Start(t.Context(), w.inst); errs.KindOf(err) != errs.Conflict {
		t.Errorf("got %v, want a conflict", err)
	}
	w.stop(p)
}

func TestAnotherVersionIsEndedFirst(t *testing.T) {
	w := newWorld(t, "serve")
	r := process.New(process.Options{})
	first := w.start(r)
	w.ready(1)
	w.inst.Args = []string{"--new"}
	if _, ok := r.Adopt(t.Context(), w.inst); ok {
		t.Fatal("another version was adopted")
	}
	second := w.start(r)
	w.ready(1)
	w.done(first)
	if got, ok := process.ReadRecord(w.inst.Record); !ok || got.PID != second.PID() {
		t.Errorf("record %+v, want process %d", got, second.PID())
	}
	w.stop(second)
}

func TestFindWhateverItIs(t *testing.T) {
	w := newWorld(t, "serve")
	r := process.New(process.Options{})
	w.start(r).Release()
	w.ready(1)
	p, ok := r.Find(t.Context(), w.inst.Record)
	if !ok {
		t.Fatal("not found")
	}
	w.stop(p)
	if _, ok := r.Find(t.Context(), w.inst.Record); ok {
		t.Error("found after its end")
	}
}

// A burst never passes the limit of the log, whether an agent looks on or not: the service waits instead.
func TestALogBurstStaysWithinItsLimit(t *testing.T) {
	w := newWorld(t, "burst")
	w.inst.User = "61234"
	w.inst.Program = filepath.Join(w.dir, "program")
	copyProgram(t, w.inst.Program)
	open(t, w.dir)
	const size, keep = 1 << 20, 2
	r := process.New(process.Options{Rotation: runtime.Rotation{Size: size, Keep: keep}})
	p, err := r.Start(t.Context(), w.inst)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Info().KeepsLog {
		t.Error("its log is for the agent to look after")
	}
	w.ready(1)
	pid := p.PID()
	p.Release() // as when the agent is replaced
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	total := func() (n int64) {
		parts, err := filepath.Glob(w.inst.Log + "*")
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range parts {
			if info, err := os.Stat(part); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	for procfsLives(pid) {
		if n := total(); n > (keep+1)*size {
			t.Fatalf("the log holds %d bytes, at most %d are asked for", n, (keep+1)*size)
		}
	}
	if n := total(); n < keep*size || !strings.HasSuffix(w.log(), "x\nneedle\n") {
		t.Errorf("%d bytes; the log ends with %q", n, w.log()[max(0, len(w.log())-40):])
	}
}

// What the keeper of a service could do, it can do for as long as the service runs: it has the right to
// signal what it keeps, whoever that becomes, and no other.
func TestS17AKeeperHasNoRights(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "serve")
		p := w.start(r)
		w.ready(1)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(string(status), "\t", " ")
		const kill = "0000000000000020"
		wantAll(t, got, "CapInh: "+kill+"\n", "CapPrm: "+kill+"\n", "CapEff: "+kill+"\n", "CapBnd: "+kill+"\n",
			"NoNewPrivs: 1\n", "Seccomp: 2\n", "Groups:  \n")
		if own, its := filters(t, "self"), filters(t, strconv.Itoa(p.PID())); its != own+3 { // no set-user-ID bits, no sockets, the default
			t.Errorf("it has %d filters more than this process, want 3", its-own)
		}
		if files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.PID())); err != nil || len(files) > 12 {
			t.Errorf("it has %d files open: %v", len(files), err)
		}
		if alone(t) && p.Info().Confined.Apart {
			root, err := os.Stat(fmt.Sprintf("/proc/%d/root", p.PID()))
			if logs, e := os.Stat(filepath.Dir(w.inst.Log)); err != nil || e != nil || !os.SameFile(root, logs) {
				t.Errorf("it sees more than the folder of the log: %v, %v", err, e)
			}
		}
		if p.Info().Confined.Apart { // the machine's folders are above that of the log
			above, err := os.Stat(fmt.Sprintf("/proc/%d/cwd/..", p.PID()))
			if logs, e := os.Stat(filepath.Dir(w.inst.Log)); err != nil || e != nil || !os.SameFile(above, logs) {
				t.Errorf("a way leads out of the folder of the log: %v, %v", err, e)
			}
		}
		w.stop(p)
		if got := w.log(); got != "serving\nbye\n" {
			t.Errorf("log %q", got)
		}
	})
}

// filters returns how many filters of system calls the process pid has.
func filters(t *testing.T, pid string) int {
	t.Helper()
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "Seccomp_filters:")
	line, _, _ := strings.Cut(after, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A service does not outlive its keeper, also where nobody watches: nothing would write its log, or end what it leaves.
func TestAServiceEndsWithItsKeeper(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "serve")
		p := w.start(r)
		w.ready(1)
		p.Release()
		if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		collectDead(t, p.PID())
		w.allGone()
	})
}

// What a service leaves behind is ended by its keeper, also where nobody watches and no namespace ends with it.
func TestAKeeperEndsWhatIsLeft(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "family=dies")
		w.inst.Spec.StopTimeout = appfile.Duration(time.Millisecond)
		p := w.start(r)
		w.ready(5)
		p.Release()
		if err := syscall.Kill(p.PID(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		collectDead(t, p.PID())
		w.allGone()
	})
}

// What is left behind has time to end, and what it says until then is in the log.
func TestAKeeperWaitsForWhatIsLeft(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "leaves")
		p := w.start(r)
		w.ready(2)
		p.Release()
		if err := syscall.Kill(p.PID(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		collectDead(t, p.PID())
		if got := w.log(); got != "bye\n" {
			t.Errorf("log %q", got)
		}
	})
}

// alone reports whether this program, which is the keeper too, needs no other file to start: as the agent,
// and these tests in a virtual machine.
func alone(t *testing.T) bool {
	t.Helper()
	program, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	return !slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

// procfsLives reports whether the child pid has not ended.
func procfsLives(pid int) bool {
	s, err := procfs.Read(pid)
	return err == nil && !s.Dead()
}
