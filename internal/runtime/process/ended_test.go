package process_test

import (
	"syscall"
	"testing"
	"time"

	"overland/internal/appfile"
	"overland/internal/runtime"
	"overland/internal/runtime/process"
)

// A job that did its work is not run again by the next agent, or for the next generation that has it as
// it was; one that is another, or that was left for another, is.
func TestAnEndIsRemembered(t *testing.T) {
	for _, policy := range []string{"never", "on-failure"} {
		for _, watched := range []string{"watched", "unwatched", "watched " + bare} {
			t.Run(policy+" "+watched, func(t *testing.T) {
				w := newWorld(t, "job")
				w.inst.Spec.Restart.Policy = policy
				supervise := func(i runtime.Instance) *runtime.Supervisor {
					s := runtime.Supervise(t.Context(), process.New(process.Options{}), i, runtime.Options{})
					t.Cleanup(func() { _ = s.Stop(contextOf()) })
					return s
				}
				s := supervise(w.inst)
				w.ready(1)
				pid := settledPID(t, s)
				if watched == "unwatched" {
					s.Detach()
				}
				if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
					t.Fatal(err)
				}
				if watched == "unwatched" {
					var status syscall.WaitStatus
					if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
						t.Fatal(err)
					}
				} else {
					<-s.Done()
				}
				again := supervise(w.inst)
				for st, changed := again.Watch(); !st.Done(); st, changed = again.Watch() {
					if st.State == runtime.Running {
						t.Fatal("it runs again")
					}
					<-changed
				}

				other := w.inst
				other.Args = []string{"other"}
				settledPID(t, supervise(other))
				w.ready(1)
			})
		}
	}
}

func TestWhatIsForgottenRunsAgain(t *testing.T) {
	w := newWorld(t, "exit=0")
	w.inst.Spec = appfile.Service{Restart: appfile.Restart{Policy: "never"}}
	r := process.New(process.Options{})
	w.done(w.start(r))
	if e, _, ok := r.Ended(w.inst); !ok || !e.OK() || e.At.IsZero() {
		t.Errorf("ended: %+v, %v", e, ok)
	}
	if err := r.Forget(w.inst); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := r.Ended(w.inst); ok {
		t.Error("it is remembered still")
	}
}

// What was stopped, or failed, is to run again.
func TestOnlyWorkThatIsDoneIsRemembered(t *testing.T) {
	for role, end := range map[string]func(w *world, p runtime.Process){
		"serve":  func(w *world, p runtime.Process) { w.ready(1); w.stop(p) },
		"exit=3": func(w *world, p runtime.Process) { w.done(p) },
	} {
		w := newWorld(t, role)
		r := process.New(process.Options{})
		end(w, w.start(r))
		if e, _, ok := r.Ended(w.inst); ok {
			t.Errorf("%s: %s", role, e)
		}
	}
}

// What the keeper of an earlier run wrote says nothing of one whose keeper was killed.
func TestTheEndOfAnEarlierRun(t *testing.T) {
	w := newWorld(t, "exit=0")
	r := process.New(process.Options{})
	if e := w.done(w.start(r)); !e.OK() {
		t.Fatal(e)
	}
	w.inst.Env[0] = roleVar + "=serve"
	p := w.start(r)
	w.ready(1)
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := w.done(p); e.Signal != syscall.SIGKILL {
		t.Errorf("exit: %s", e)
	}
}

// settledPID waits until s runs its instance.
func settledPID(t *testing.T, s *runtime.Supervisor) int {
	t.Helper()
	late := time.After(time.Minute)
	for {
		st, changed := s.Watch()
		if st.State == runtime.Running {
			return st.PID
		}
		select {
		case <-changed:
		case <-s.Done():
			t.Fatalf("it does not run: %+v", s.Status())
		case <-late:
			t.Fatalf("it never runs: %+v", s.Status())
		}
	}
}
