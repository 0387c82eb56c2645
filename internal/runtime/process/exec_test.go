package process_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/runtime/process"
)

func TestExec(t *testing.T) {
	w := newWorld(t, "exit=3")
	r := process.New(process.Options{})
	e, err := r.Exec(t.Context(), w.inst, []string{w.inst.Program}, &bytes.Buffer{})
	if err != nil || e.Code != 3 || e.OK() {
		t.Errorf("got %s, %v", e, err)
	}
	var out bytes.Buffer
	w.inst.Env[0] = roleVar + "=chatter"
	e, err = r.Exec(t.Context(), w.inst, []string{w.inst.Program}, &out)
	if err != nil || !e.OK() || !strings.HasSuffix(out.String(), "needle\n") {
		t.Errorf("got %s, %v, %d bytes", e, err, out.Len())
	}
	if e, err = r.Exec(t.Context(), w.inst, []string{"/no/such/program"}, &out); err == nil {
		t.Errorf("a missing program: %s", e)
	}
	if _, err = r.Exec(t.Context(), w.inst, nil, &out); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no program: %v", err)
	}
}

func TestHungExecIsKilledWithAllItStarted(t *testing.T) {
	w := newWorld(t, "hang")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	var out bytes.Buffer
	go func() {
		_, err := process.New(process.Options{}).Exec(ctx, w.inst, []string{w.inst.Program}, &out)
		ended <- err
	}()
	w.ready(2)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if out.String() != "before the hang\n" {
		t.Errorf("output %q", out.String())
	}
	w.allGone()
}

// What a killed agent's self-test left running is no copy of the service.
func TestExecIsNotTakenForTheService(t *testing.T) {
	w := newWorld(t, "stubborn")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	r := process.New(process.Options{})
	go func() {
		_, err := r.Exec(ctx, w.inst, []string{w.inst.Program}, &bytes.Buffer{})
		ended <- err
	}()
	w.ready(1)
	if p, ok := r.Adopt(t.Context(), w.inst); ok {
		p.Release()
		t.Error("the check was adopted as the service")
	}
	cancel()
	<-ended
}

func TestPidfdIsPolledWithoutAThread(t *testing.T) {
	w := newWorld(t, "exit=0")
	p := w.start(process.New(process.Options{}))
	w.done(p)
	if process.Pidfd(p) == nil {
		t.Fatal("no pidfd on this kernel")
	}
	w2 := newWorld(t, "serve")
	q := w2.start(process.New(process.Options{}))
	w2.ready(1)
	if err := process.Pidfd(q).SetReadDeadline(noDeadline); err != nil {
		t.Errorf("the pidfd is not in the poller: %v", err)
	}
	w2.stop(q)
}

func TestSubreaperCollectsOrphansAndNothingElse(t *testing.T) {
	w := newWorld(t, "orphaner")
	cmd, out := testCommand(t, "reaper="+w.dir), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	const want = "service: exit code 0\nexec: exit code 5\nwaited late: exit status 6\norphan collected\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}
