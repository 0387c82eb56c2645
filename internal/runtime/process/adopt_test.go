package process_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"overland/internal/fsx"
	"overland/internal/procfs"
	"overland/internal/runtime/process"
)

// agent plays an agent in a process of its own that gets killed: "start DIR" starts the instance of
// DIR and waits; "start DIR N" kills itself before the Nth change of the disk.
func agent(arg string) {
	dir, at, _ := strings.Cut(arg, ":")
	var count atomic.Int32
	disk := fsx.FS{Before: func(op fsx.Op) error {
		if at != "" && int(count.Add(1)) == int(at[0]-'a') {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			hang()
		}
		return nil
	}}
	r := process.New(process.Options{FS: disk})
	name, _ := os.ReadFile(filepath.Join(dir, "name"))
	if _, err := r.Start(contextOf(), instance(string(name), dir, "serve")); err != nil {
		panic(err)
	}
	os.Stdout.WriteString("started\n")
	hang()
}

// runAgent runs an agent and returns once it said that it started the service, or died.
func runAgent(t *testing.T, w *world, at string) (agent *exec.Cmd, started bool) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "name"), []byte(w.inst.Name), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), quickExit, roleVar+"=agent="+w.dir+at)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	n, _ := out.Read(make([]byte, 8)) // "started", or the end of file
	return cmd, n > 0
}

func kill9(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

func TestServiceSurvivesKill9OfItsAgent(t *testing.T) {
	both(t, func(t *testing.T, r *process.Runtime) {
		w := newWorld(t, "serve")
		cmd, _ := runAgent(t, w, "")
		pid := w.ready(1)[0]
		kill9(t, cmd)
		p, ok := r.Adopt(t.Context(), w.inst)
		if !ok {
			t.Fatal("not adopted")
		}
		t.Cleanup(p.Release)
		if got := inside(t, p); got != pid {
			t.Errorf("adopted %d, want %d", got, pid)
		}
		w.stop(p)
		// The status of another's child: its keeper tells it, the kernel does not.
		if e := p.Exit(); !e.Known || !e.OK() {
			t.Errorf("exit %s of another's child", e)
		}
		if got := w.log(); got != "serving\nbye\n" { // it logged after its agent had died
			t.Errorf("log %q", got)
		}
		w.allGone()
	})
}

// The agent dies before each of its changes of the disk: whatever it started is found, and is one.
// All of them come before the service may run, so a service that nobody recorded never ran.
func TestKill9AtEveryStepOfAStart(t *testing.T) {
	started, fresh, forked := 0, 0, 0
	for at := byte('b'); ; at++ {
		w := newWorld(t, "serve")
		r := process.New(process.Options{})
		cmd, complete := runAgent(t, w, ":"+string(at))
		if complete {
			w.ready(1)
			kill9(t, cmd)
			t.Logf("%d steps: %d with a service started, %d without", at-'b', started, fresh)
			if fresh < 2 || forked == 0 {
				t.Errorf("%d kills, %d of them after the fork", fresh, forked)
			}
			return
		}
		kill9(t, cmd)
		if rec, ok := process.ReadRecord(w.inst.Record); ok && rec.PID != 0 {
			forked++
		}
		p, ok := r.Adopt(t.Context(), w.inst)
		if ok {
			started++
			if got := w.ready(1)[0]; got != inside(t, p) {
				t.Errorf("step %c: adopted %d, the service is %d", at, inside(t, p), got)
			}
		} else {
			fresh++
			p = w.start(r)
			w.ready(1)
		}
		if n := process.Count(w.inst.Record); n != 1 {
			t.Errorf("step %c: %d copies run", at, n)
		}
		w.stop(p)
		w.allGone()
	}
}

func TestRecordOfAReusedProcessID(t *testing.T) {
	changes := map[string]func(*process.Record){
		"other start": func(r *process.Record) { r.Start++ },
		"other boot":  func(r *process.Record) { r.Boot = "another" },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "serve")
			r := process.New(process.Options{})
			// A stranger: the same number as in the record, but not what was started then.
			stranger := exec.Command("cat")
			hold, err := stranger.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := stranger.Start(); err != nil {
				t.Fatal(err)
			}
			s, err := procfs.Read(stranger.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			rec := process.NewRecord(w.inst, 0)
			rec.PID, rec.Start = s.PID, s.Start
			change(&rec)
			if err := rec.Write(w.inst.Record); err != nil {
				t.Fatal(err)
			}
			if p, ok := r.Adopt(t.Context(), w.inst); ok {
				p.Release()
				t.Error("the stranger was adopted")
			}
			w.inst.Args = []string{"--new"} // not even to make room
			p := w.start(r)
			w.ready(1)
			w.stop(p)
			hold.Close()
			if err := stranger.Wait(); err != nil {
				t.Errorf("the stranger was hurt: %v", err)
			}
		})
	}
}

func TestDamagedRecord(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "garbage": "\x00\xff{", "half": `{"schema":1,"run":"X","pi`, "pid 1": `{"schema":1,"run":"X","pid":1}`, "missing": "-",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "serve")
			r := process.New(process.Options{})
			first := w.start(r)
			w.ready(1)
			first.Release()
			if err := os.WriteFile(w.inst.Record, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if text == "-" {
				os.Remove(w.inst.Record)
			}
			p, ok := r.Adopt(t.Context(), w.inst)
			if !ok {
				t.Fatal("not adopted")
			}
			if p.PID() != first.PID() {
				t.Errorf("adopted %d, want %d", p.PID(), first.PID())
			}
			if rec, ok := process.ReadRecord(w.inst.Record); !ok || rec.PID != p.PID() {
				t.Errorf("the record was not mended: %+v", rec)
			}
			w.stop(p)
		})
	}
}

func TestFullDiskDoesNotKeepAServiceDown(t *testing.T) {
	w := newWorld(t, "serve")
	full := fsx.FS{Before: func(fsx.Op) error { return syscall.ENOSPC }}
	p := w.start(process.New(process.Options{FS: full}))
	w.ready(1)
	p.Release()
	again, ok := process.New(process.Options{FS: full}).Adopt(t.Context(), w.inst)
	if !ok {
		t.Fatal("not adopted")
	}
	w.stop(again)
}

func TestLeftoversAreNotAdoptedButEnded(t *testing.T) {
	// Without namespaces what is left is in the run's control group still.
	for _, name := range []string{"apart", bare, bare + " without a record"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "family=dies")
			r := process.New(process.Options{})
			first := w.start(r)
			pids := w.ready(5)
			first.Release() // nobody watches: what it leaves stays
			if err := syscall.Kill(first.PID(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			collectDead(t, first.PID())
			if strings.HasSuffix(name, "record") { // a full disk, and a keeper that was killed
				if err := os.Remove(w.inst.Record); err != nil {
					t.Fatal(err)
				}
				orphaned(t, pids)
			}
			if p, ok := r.Adopt(t.Context(), w.inst); ok {
				p.Release()
				t.Fatalf("adopted %d of the leftovers %v", p.PID(), pids)
			}
			w.inst.Spec.StopTimeout = 1
			w.inst.Env[0] = roleVar + "=exit=0"
			w.done(w.start(r))
			w.allGone()
		})
	}
}

// orphaned waits until none of pids is the parent of another one.
func orphaned(t *testing.T, pids []int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); slices.ContainsFunc(pids, func(pid int) bool {
		s, err := procfs.Read(pid)
		return err == nil && slices.Contains(pids, s.Parent)
	}); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the service outlives its keeper")
		}
	}
}

func collectDead(t *testing.T, pid int) {
	t.Helper()
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
}

func TestStartsAreSerialised(t *testing.T) {
	w := newWorld(t, "serve")
	r := process.New(process.Options{})
	w.start(r).Release()
	w.ready(1)
	lock, err := fsx.TryLock(w.inst.Record + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextWith(t, 50*time.Millisecond)
	defer cancel()
	if _, err := r.Start(ctx, w.inst); !errors.Is(err, context.DeadlineExceeded) { // else it says that one runs
		t.Errorf("started while another start was going on: %v", err)
	}
	if p, ok := r.Adopt(ctx, w.inst); ok {
		p.Release()
		t.Error("adopted while a start was going on")
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	p, ok := r.Adopt(t.Context(), w.inst)
	if !ok {
		t.Fatal("not adopted")
	}
	w.stop(p)
}
