package control_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"overland/internal/agent/control"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/progress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent answers with what it was asked, and tells two steps of an installation first.
type agent struct{ steps *control.Steps }

func (a agent) Handle(_ context.Context, q nodeapi.Request) (nodeapi.Response, error) {
	switch q.Op {
	case nodeapi.OpInstall:
		a.steps.Tell(progress.Event{Step: "verify", What: q.Source})
		a.steps.Tell(progress.Event{Step: "start", What: q.Source})
		return nodeapi.Response{Report: &nodeapi.Report{Outcome: nodeapi.RolledBack}},
			errs.Hint(errs.Errorf(errs.Partial, "it crashed"), "mend it")
	case nodeapi.OpLogs:
		return nodeapi.Response{Lines: []string{q.Service}}, nil
	}
	return nodeapi.Response{}, nil
}

func TestRequestsAreAnswered(t *testing.T) {
	for _, where := range []string{"short", strings.Repeat("long-", 30)} {
		dir := filepath.Join(t.TempDir(), where)
		if _, err := control.Call(t.Context(), dir, nodeapi.Request{Op: nodeapi.OpStatus}); errs.KindOf(err) != errs.Unavailable || errs.HintOf(err) == "" {
			t.Errorf("without an agent: %v", err)
		}
		steps := &control.Steps{}
		s, err := control.Listen(dir, fsx.FS{}, agent{steps}, steps)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx) }()

		r, err := control.Call(ctx, dir, nodeapi.Request{Op: nodeapi.OpLogs, Service: "wallet.node"})
		if err != nil || len(r.Lines) != 1 || r.Lines[0] != "wallet.node" {
			t.Errorf("logs: %+v, %v", r, err)
		}
		var told []string
		r, err = control.CallProgress(ctx, dir, nodeapi.Request{Op: nodeapi.OpInstall, Source: "/a.volume"}, func(p progress.Event) {
			told = append(told, p.Step+" "+p.What)
		})
		if errs.KindOf(err) != errs.Partial || err.Error() != "it crashed" || errs.HintOf(err) != "mend it" || r.Report == nil {
			t.Errorf("install: %+v, %v", r, err)
		}
		if got := strings.Join(told, "; "); got != "verify /a.volume; start /a.volume" {
			t.Errorf("steps: %s", got)
		}
		if _, err := control.Call(ctx, dir, nodeapi.Request{Op: "dance"}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("an unknown verb: %v", err)
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

func TestStepsAfterQuietAreNotTold(t *testing.T) {
	var steps control.Steps
	n := 0
	quiet := steps.Listen(func(progress.Event) { n++ })
	steps.Tell(progress.Event{})
	quiet()
	steps.Tell(progress.Event{})
	if n != 1 {
		t.Errorf("told %d steps", n)
	}
}
