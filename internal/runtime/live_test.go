package runtime_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/appfile"
	"overland/internal/runtime"
)

// watched is an instance whose check is tried every 30 s, by a runtime that counts the tries and asks
// well whether one passes, at so long after the beginning.
func watched(well func(time.Duration) bool) (*fakeRuntime, runtime.Instance, *atomic.Int64) {
	began, tries := time.Now(), new(atomic.Int64)
	rt := &fakeRuntime{lives: []life{{}}, exec: func(context.Context, []string, io.Writer) (runtime.Exit, error) {
		tries.Add(1)
		if well(time.Since(began)) {
			return fine, nil
		}
		return failed, nil
	}}
	inst := runtime.Instance{Name: "a.b", Spec: appfile.Service{SelfTest: []appfile.Check{
		{Exec: []string{"ask"}, Every: appfile.Duration(30 * sec), Within: appfile.Duration(time.Minute)},
	}}}
	return rt, inst, tries
}

func TestAHangingServiceIsRestarted(t *testing.T) {
	for _, policy := range []string{"always", "never", "on-failure"} {
		synctest.Test(t, func(t *testing.T) {
			hung := func(d time.Duration) bool { return d >= 10*time.Minute && d < 10*time.Minute+80*sec }
			rt, inst, tries := watched(func(d time.Duration) bool { return !hung(d) })
			inst.Spec.Restart.Policy = policy
			var told []error
			s := runtime.Supervise(t.Context(), rt, inst, runtime.Options{Unwell: func(err error) { told = append(told, err) }})
			time.Sleep(10*time.Minute - sec)
			if n := tries.Load(); n != 19 {
				t.Errorf("%d tries in 10 minutes, want 19: nothing else wakes it", n)
			}
			time.Sleep(time.Minute)
			if st := s.Status(); st.State != runtime.Running || st.Restarts != 0 {
				t.Errorf("after two failures: %+v", st)
			}
			time.Sleep(30 * sec)
			synctest.Wait() // whoever told it is done
			st := s.Status()
			if st.State != runtime.Running || st.Restarts != 1 || rt.started() != 2 || len(told) != 1 {
				t.Errorf("%s: after three failures: %+v, told %q", policy, st, told)
			}
			if want := "exec ask failed 3 times in a row: exit code 1"; st.LastExit == nil || st.LastExit.String() != "restarted: "+want || told[0].Error() != want {
				t.Errorf("last exit %v, told %q", st.LastExit, told)
			}
			s.Detach()
		})
	}
}

// One that passes in between begins the count anew; so does a new process, which has its time to start.
func TestFailuresCountInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		rt, inst, _ := watched(func(time.Duration) bool { n++; return n%3 == 0 })
		s := runtime.Supervise(t.Context(), rt, inst, runtime.Options{})
		time.Sleep(time.Hour)
		if st := s.Status(); st.Restarts != 0 {
			t.Errorf("two failures and a pass: %+v", st)
		}
		s.Detach()
	})
}

func TestAServiceHasItsTimeToStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, inst, _ := watched(func(time.Duration) bool { return false })
		inst.Spec.SelfTest[0].Within, inst.Spec.SelfTest[0].Failures = appfile.Duration(5*time.Minute), 1
		inst.Spec.Restart.Backoff.Min = appfile.Duration(10 * sec)
		s := runtime.Supervise(t.Context(), rt, inst, runtime.Options{})
		time.Sleep(5*time.Minute - sec)
		if rt.started() != 1 {
			t.Error("it was restarted before its time was over")
		}
		// Each restart comes later: it is up while it fails, so that a life does not begin the backoff anew.
		time.Sleep(40 * time.Minute)
		s.Detach()
		var waits []time.Duration
		for _, d := range rt.waits()[:3] {
			waits = append(waits, d.Round(sec)-5*time.Minute)
		}
		if waits[0] != 10*sec || waits[1] != 20*sec || waits[2] != 40*sec {
			t.Errorf("waits %v", waits)
		}
	})
}

func TestAnAdoptedServiceIsWatchedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, inst, _ := watched(func(time.Duration) bool { return false })
		rt.adopt = newFakeProcess(7, life{})
		rt.adopt.info.Since = time.Now().Add(-time.Hour)
		s := runtime.Supervise(t.Context(), rt, inst, runtime.Options{})
		time.Sleep(95 * sec)
		if st := s.Status(); st.PID == 7 || st.Restarts != 1 {
			t.Errorf("got %+v", st)
		}
		s.Detach()
	})
}

// A try that hangs is a failure after its time, and one in progress holds up neither the end of the
// service nor that of the agent.
func TestATryThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, inst, tries := watched(nil)
		rt.exec = func(ctx context.Context, _ []string, _ io.Writer) (runtime.Exit, error) {
			tries.Add(1)
			<-ctx.Done()
			return runtime.Exit{}, ctx.Err()
		}
		var told error
		s := runtime.Supervise(t.Context(), rt, inst, runtime.Options{Unwell: func(err error) { told = errors.Join(told, err) }})
		time.Sleep(5 * time.Minute)
		synctest.Wait() // whoever told it is done
		if told == nil || !strings.Contains(told.Error(), "it did not end") {
			t.Errorf("told %v", told)
		}
		before := time.Now()
		s.Detach()
		if took := time.Since(before); took > 0 {
			t.Errorf("detaching took %s", took)
		}
	})
}
