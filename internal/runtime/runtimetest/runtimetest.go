package runtimetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/runtime"
)

// Role is what a service of the suite does.
type Role string

// The roles. Each service that goes on prints "serving" once it can be stopped.
const (
	Serve    Role = "serve"    // goes on until SIGTERM, then prints "bye" and ends with code 0
	Stubborn Role = "stubborn" // goes on and ignores SIGTERM
	Exit3    Role = "exit3"    // ends at once with code 3
)

// Subject is the runtime under test.
type Subject struct {
	// New returns the runtime as another agent on this machine would open it.
	New func() runtime.Runtime
	// Instance returns a service that plays role, in folders of its own. The subject sees to it
	// that nothing of it is left when t ends.
	Instance func(t *testing.T, role Role) runtime.Instance
	// Other makes another version of i, with another Digest, that plays the same role.
	Other func(i runtime.Instance) runtime.Instance
}

const patience = time.Minute // for anything to happen on a busy machine

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	t.Run("start and stop", s.startAndStop)
	t.Run("exit code", s.exitCode)
	t.Run("a service that ignores SIGTERM is killed", s.stubborn)
	t.Run("stop ends with its context", s.stopEndsWithContext)
	t.Run("a second copy is refused", s.secondCopy)
	t.Run("another version is ended first", s.anotherVersion)
	t.Run("a released service is adopted", s.adopted)
	t.Run("only the same version is adopted", s.notAdopted)
	t.Run("a program that is not there", s.noProgram)
	t.Run("data path", s.dataPath)
}

func (s Subject) startAndStop(t *testing.T) {
	i := s.Instance(t, Serve)
	if err := os.WriteFile(i.Log, []byte("from before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Add(-time.Second) // the kernel counts in ticks
	p := start(t, s.New(), i)
	logged(t, i, "serving")
	if info := p.Info(); info.Adopted || info.Since.Before(before) || info.Since.After(time.Now().Add(time.Second)) || info.LogStart != 12 {
		t.Errorf("info: %+v", info)
	}
	select {
	case <-p.Done():
		t.Fatal("done while it runs")
	default:
	}
	stop(t, p, patience)
	if e := ended(t, p); !e.OK() {
		t.Errorf("exit: %s", e)
	}
	logged(t, i, "bye")
	// Stopping what is gone changes nothing.
	stop(t, p, patience)
	if _, ok := s.New().Adopt(t.Context(), i); ok {
		t.Error("a stopped service was adopted")
	}
}

func (s Subject) exitCode(t *testing.T) {
	p := start(t, s.New(), s.Instance(t, Exit3))
	if e := ended(t, p); !e.Known || e.Code != 3 || e.Signal != 0 || e.OK() || e.At.IsZero() {
		t.Errorf("exit: %+v", e)
	}
}

func (s Subject) stubborn(t *testing.T) {
	i := s.Instance(t, Stubborn)
	p := start(t, s.New(), i)
	logged(t, i, "serving")
	stop(t, p, 20*time.Millisecond)
	if e := ended(t, p); !e.Known || e.OK() {
		t.Errorf("exit: %+v", e)
	}
}

func (s Subject) stopEndsWithContext(t *testing.T) {
	i := s.Instance(t, Stubborn)
	p := start(t, s.New(), i)
	logged(t, i, "serving")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx, patience); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop: %v", err)
	}
	stop(t, p, 20*time.Millisecond)
}

func (s Subject) secondCopy(t *testing.T) {
	i := s.Instance(t, Serve)
	p := start(t, s.New(), i)
	logged(t, i, "serving")
	if q, err := s.New().Start(t.Context(), i); errs.KindOf(err) != errs.Conflict {
		t.Errorf("second start: %v, %v", q, err)
	}
	stop(t, p, patience)
}

func (s Subject) anotherVersion(t *testing.T) {
	i := s.Instance(t, Serve)
	p := start(t, s.New(), i)
	logged(t, i, "serving")
	p.Release()
	q := start(t, s.New(), s.Other(i))
	if _, ok := s.New().Adopt(t.Context(), i); ok {
		t.Error("the version before still runs")
	}
	logged(t, i, "bye")
	stop(t, q, patience)
}

func (s Subject) adopted(t *testing.T) {
	i := s.Instance(t, Serve)
	p := start(t, s.New(), i)
	logged(t, i, "serving")
	p.Release()
	q, ok := s.New().Adopt(t.Context(), i)
	if !ok {
		t.Fatal("not adopted")
	}
	t.Cleanup(q.Release)
	if info := q.Info(); !info.Adopted || q.PID() != p.PID() || !info.Since.Equal(p.Info().Since) || info.LogStart != p.Info().LogStart {
		t.Errorf("adopted as process %d, %+v; started as %d, %+v", q.PID(), info, p.PID(), p.Info())
	}
	select {
	case <-p.Done():
		t.Error("done after Release")
	default:
	}
	stop(t, q, patience)
	ended(t, q)
	logged(t, i, "bye")
}

func (s Subject) notAdopted(t *testing.T) {
	i := s.Instance(t, Serve)
	if _, ok := s.New().Adopt(t.Context(), i); ok {
		t.Error("adopted what never ran")
	}
	p := start(t, s.New(), i)
	logged(t, i, "serving")
	if _, ok := s.New().Adopt(t.Context(), s.Other(i)); ok {
		t.Error("another version was adopted")
	}
	stop(t, p, patience)
}

func (s Subject) noProgram(t *testing.T) {
	i := s.Instance(t, Serve)
	i.Program, i.Blob = filepath.Join(i.Dir, "not-there"), ""
	_, err := s.New().Start(t.Context(), i)
	if kind := errs.KindOf(err); kind != errs.NotFound && kind != errs.Invalid {
		t.Errorf("kind %s: %v", kind, err)
	}
	if _, ok := s.New().Adopt(t.Context(), i); ok {
		t.Error("adopted what could not start")
	}
}

func (s Subject) dataPath(t *testing.T) {
	i := s.Instance(t, Serve)
	i.Data = map[string]string{"data": filepath.Join(i.Dir, "data")}
	i.Spec.Data = map[string]string{"data": "/data"}
	if got := s.New().DataPath(i, "data"); !filepath.IsAbs(got) {
		t.Errorf("path %q", got)
	}
}

func start(t *testing.T, rt runtime.Runtime, i runtime.Instance) runtime.Process {
	t.Helper()
	p, err := rt.Start(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Release)
	return p
}

func stop(t *testing.T, p runtime.Process, timeout time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if err := p.Stop(ctx, timeout); err != nil {
		t.Fatal(err)
	}
}

func ended(t *testing.T, p runtime.Process) runtime.Exit {
	t.Helper()
	select {
	case <-p.Done():
		return p.Exit()
	case <-time.After(patience):
		t.Fatal("the service does not end")
		return runtime.Exit{}
	}
}

// logged waits until a line of i's log is text.
func logged(t *testing.T, i runtime.Instance, text string) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := os.ReadFile(i.Log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if strings.Contains("\n"+string(b), "\n"+text+"\n") {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("no line %q in the log %q", text, b)
		}
	}
}
