package runtime_test

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/runtime"
)

var (
	failed = runtime.Exit{Known: true, Code: 1}
	fine   = runtime.Exit{Known: true}
	shot   = runtime.Exit{Known: true, Signal: syscall.SIGSEGV}
	lost   = runtime.Exit{} // adopted: unknown
)

const sec = time.Second

func TestBackoffDoublesUpToItsMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &fakeRuntime{lives: []life{{d: time.Nanosecond, exit: failed}}}
		inst := runtime.Instance{Name: "a.b", Spec: appfile.Service{Restart: appfile.Restart{Backoff: appfile.Backoff{Max: appfile.Duration(10 * sec)}}}}
		s := runtime.Supervise(t.Context(), rt, inst, runtime.Options{})
		time.Sleep(46 * sec)
		s.Detach()
		got := rt.waits()
		for k := range got {
			got[k] = got[k].Round(time.Millisecond)
		}
		if want := []time.Duration{sec, 2 * sec, 4 * sec, 8 * sec, 10 * sec, 10 * sec, 10 * sec}; !slices.Equal(got, want) {
			t.Errorf("waits %v, want %v", got, want)
		}
	})
}

func TestBackoffStartsAnewAfterAStableRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crash, stable := life{d: time.Millisecond, exit: failed}, life{d: 30 * sec, exit: failed}
		rt := &fakeRuntime{lives: []life{crash, crash, crash, stable, crash, {}}}
		s := runtime.Supervise(t.Context(), rt, runtime.Instance{Spec: appfile.Service{Stable: appfile.Duration(20 * sec)}}, runtime.Options{})
		time.Sleep(time.Hour)
		s.Detach()
		got := rt.waits()
		for k := range got {
			got[k] = got[k].Round(10 * time.Millisecond)
		}
		if want := []time.Duration{sec, 2 * sec, 4 * sec, 31 * sec, 2 * sec}; !slices.Equal(got, want) {
			t.Errorf("waits %v, want %v", got, want)
		}
	})
}

func TestRestartPolicy(t *testing.T) {
	tests := []struct {
		policy string
		exit   runtime.Exit
		again  bool
	}{
		{"", fine, true},
		{"", failed, true},
		{"", shot, true},
		{"always", fine, true},
		{"always", shot, true},
		{"on-failure", fine, false},
		{"on-failure", failed, true},
		{"on-failure", shot, true},
		{"on-failure", lost, true},
		{"never", fine, false},
		{"never", failed, false},
		{"never", shot, false},
	}
	for _, test := range tests {
		t.Run(test.policy+" "+test.exit.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := &fakeRuntime{lives: []life{{d: sec, exit: test.exit}, {}}}
				s := runtime.Supervise(t.Context(), rt, runtime.Instance{Spec: appfile.Service{Restart: appfile.Restart{Policy: test.policy}}}, runtime.Options{})
				time.Sleep(time.Minute)
				st := s.Status()
				if test.again != (st.State == runtime.Running && st.Restarts == 1) || test.again == (st.State == runtime.Ended && st.Final) {
					t.Errorf("got %+v, want another start: %v", st, test.again)
				}
				if st.LastExit == nil || st.LastExit.String() != test.exit.String() {
					t.Errorf("last exit %v, want %s", st.LastExit, test.exit)
				}
				s.Detach()
			})
		})
	}
}

func TestStatusWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &fakeRuntime{lives: []life{{d: sec, exit: shot}}}
		s := runtime.Supervise(t.Context(), rt, runtime.Instance{}, runtime.Options{})
		time.Sleep(1500 * time.Millisecond)
		st := s.Status()
		if st.State != runtime.Waiting || st.PID != 0 || time.Until(st.NextStart) != 500*time.Millisecond || st.LastExit.Signal != syscall.SIGSEGV {
			t.Errorf("got %+v", st)
		}
		s.Detach()
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &fakeRuntime{lives: []life{{}}}
		s := runtime.Supervise(t.Context(), rt, runtime.Instance{Spec: appfile.Service{StopTimeout: appfile.Duration(7 * sec)}}, runtime.Options{})
		synctest.Wait()
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := s.Status(); st.State != runtime.Stopped || !st.Final || rt.current.stopped != 7*sec {
			t.Errorf("got %+v, stopped with %s", st, rt.current.stopped)
		}
		s.Detach() // nothing to do any more
		if rt.current.released || s.Status().State != runtime.Stopped {
			t.Error("detached after its stop")
		}
	})
}

func TestStopWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &fakeRuntime{lives: []life{{d: sec, exit: failed}}}
		s := runtime.Supervise(t.Context(), rt, runtime.Instance{}, runtime.Options{})
		time.Sleep(1500 * time.Millisecond)
		if err := s.Stop(t.Context()); err != nil || s.Status().State != runtime.Stopped || rt.started() != 1 {
			t.Errorf("got %v, %+v, %d starts", err, s.Status(), rt.started())
		}
	})
}

func TestStopThatDoesNotHelpIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &fakeRuntime{adopt: newFakeProcess(77, life{})}
		p := rt.adopt
		p.deaf = true
		s := runtime.Supervise(t.Context(), rt, runtime.Instance{}, runtime.Options{})
		synctest.Wait()
		if err := s.Stop(t.Context()); err == nil || s.Status().State == runtime.Stopped || !p.released {
			t.Errorf("got %v, %+v", err, s.Status())
		}
	})
}

func TestDetachLeavesItRunning(t *testing.T) {
	for name, detach := range map[string]func(*runtime.Supervisor, context.CancelFunc){
		"detach": func(s *runtime.Supervisor, _ context.CancelFunc) { s.Detach() },
		"cancel": func(s *runtime.Supervisor, cancel context.CancelFunc) { cancel(); <-s.Done() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				rt := &fakeRuntime{lives: []life{{}}}
				s := runtime.Supervise(ctx, rt, runtime.Instance{}, runtime.Options{})
				synctest.Wait()
				detach(s, cancel)
				if st := s.Status(); st.State != runtime.Detached || st.PID != rt.current.pid || !rt.current.released || rt.current.stopped != 0 {
					t.Errorf("got %+v", st)
				}
			})
		})
	}
}

func TestRunningCopyIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProcess(77, life{d: time.Minute})
		p.info.Adopted = true
		rt := &fakeRuntime{adopt: p, lives: []life{{}}}
		s := runtime.Supervise(t.Context(), rt, runtime.Instance{}, runtime.Options{})
		synctest.Wait()
		if st := s.Status(); st.PID != 77 || !st.Adopted || st.Restarts != 0 || rt.started() != 0 {
			t.Errorf("got %+v and %d starts", st, rt.started())
		}
		time.Sleep(2 * time.Minute)
		if st := s.Status(); st.PID == 77 || st.Adopted || st.Restarts != 1 {
			t.Errorf("after its end: %+v", st)
		}
		s.Detach()
	})
}

func TestStartThatFailsIsTriedAgain(t *testing.T) {
	for _, kind := range []errs.Kind{errs.NotFound, errs.Invalid, errs.Unavailable, errs.Internal} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := &fakeRuntime{lives: []life{{err: errs.E(kind, errors.New("no such user"))}, {}}}
				s := runtime.Supervise(t.Context(), rt, runtime.Instance{Name: "a.b"}, runtime.Options{})
				synctest.Wait()
				final := kind == errs.NotFound || kind == errs.Invalid
				if st := s.Status(); st.State != runtime.Waiting || st.Err != "start a.b: no such user" || st.Final != final {
					t.Errorf("got %+v", st)
				}
				time.Sleep(2 * sec)
				if st := s.Status(); st.State != runtime.Running || st.Err != "" {
					t.Errorf("after a while: %+v", st)
				}
				s.Detach()
			})
		})
	}
}

func TestWatchTellsOfEveryState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &fakeRuntime{lives: []life{{d: sec, exit: failed}, {d: sec, exit: fine}}}
		s := runtime.Supervise(t.Context(), rt, runtime.Instance{Spec: appfile.Service{Restart: appfile.Restart{Policy: "on-failure"}}}, runtime.Options{})
		var got []runtime.State
		for st, changed := s.Watch(); ; st, changed = s.Watch() {
			if len(got) == 0 || got[len(got)-1] != st.State {
				got = append(got, st.State)
			}
			if st.State == runtime.Ended {
				break
			}
			<-changed
			synctest.Wait()
		}
		if want := []runtime.State{runtime.Running, runtime.Waiting, runtime.Running, runtime.Ended}; !slices.Equal(got[len(got)-4:], want) {
			t.Errorf("states %v, want %v", got, want)
		}
		s.Detach()
	})
}

// An agent that starts, finds its service running and is told at once to stop it must not leave it.
func TestStopAtOnceEndsWhatAnEarlierAgentLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProcess(77, life{})
		rt := &fakeRuntime{adopt: p, lives: []life{{}}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := runtime.Supervise(ctx, rt, runtime.Instance{}, runtime.Options{})
		if err := s.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if p.stopped == 0 || rt.started() != 0 || s.Status().State != runtime.Stopped {
			t.Errorf("stopped with %s, %d starts, %+v", p.stopped, rt.started(), s.Status())
		}
	})
}

// slowStart is a Runtime whose Start takes a while: it ends the version before.
type slowStart struct{ *fakeRuntime }

func (r slowStart) Start(ctx context.Context, i runtime.Instance) (runtime.Process, error) {
	select {
	case <-time.After(10 * sec):
		return r.fakeRuntime.Start(ctx, i)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestStopLetsAStartEndAndDetachCutsItShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := slowStart{&fakeRuntime{lives: []life{{}}}}
		s := runtime.Supervise(t.Context(), rt, runtime.Instance{}, runtime.Options{})
		time.Sleep(sec)
		began := time.Now()
		if err := s.Stop(t.Context()); err != nil || time.Since(began) != 9*sec || rt.current.stopped == 0 {
			t.Errorf("stop: %v after %s", err, time.Since(began))
		}
		s = runtime.Supervise(t.Context(), rt, runtime.Instance{}, runtime.Options{})
		time.Sleep(sec)
		began = time.Now()
		s.Detach()
		if time.Since(began) != 0 || rt.started() != 1 {
			t.Errorf("detach: after %s, %d starts", time.Since(began), rt.started())
		}
	})
}
