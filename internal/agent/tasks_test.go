package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/agent"
	"overland/internal/agent/follow"
	"overland/internal/agent/node"
	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/nodeapi"
)

// migrating releases and promotes wallet@version, with a service and a task that is what, and returns a
// volume of it.
func (w *world) migrating(version, what string, change func(*appfile.Service)) string {
	w.t.Helper()
	task := appfile.Service{Artifact: "migrate", Runtime: "process", Kind: appfile.Task, Data: quick.Data}
	if change != nil {
		change(&task)
	}
	w.Release("wallet", version, map[string]string{"node": "up " + version, "migrate": what}, map[string]appfile.Service{"node": quick, "migrate": task})
	w.Promote("live", "wallet", version)
	return w.volume(version)
}

func whileRunning(s *appfile.Service) { s.While = appfile.Running }

// A task is run once for each release, before the others of its application switch; not again by a new
// agent, for another application's release, by a rollback, or when the same release comes again.
func TestATaskRunsOnceForEachRelease(t *testing.T) {
	w := newWorld(t)
	r := w.mustInstall(w.migrating(v1, "done one", nil))
	w.calls("start wallet.migrate", "start wallet.node")
	if len(r.Tests) < 1 || r.Tests[0].Service != "wallet.migrate" || r.Tests[0].Check != "task" || !r.Tests[0].OK {
		t.Errorf("report: %+v", r)
	}
	w.running(func(a *agent.Agent) {
		s := a.Status()
		if m := s.Services[0]; m.Name != "wallet.migrate" || m.Kind != "task" || m.State != "done" || !m.Done || len(s.Problems) > 0 {
			t.Errorf("status: %+v", s)
		}
	})
	w.calls()
	w.Release("other", v1, map[string]string{"node": "up other"}, services(quick))
	w.Promote("live", "other", v1)
	w.mustInstall(w.volume("other"))
	w.calls("start other.node")
	two := w.migrating(v2, "done two", nil)
	w.mustInstall(two)
	w.calls("stop wallet.node", "start wallet.migrate", "start wallet.node")
	w.change(func(s *node.State) { s.Tasks = map[string][]string{"wallet.migrate": s.Tasks["wallet.migrate"][1:]} }) // v1's is forgotten
	a := w.open()
	_, err := a.Rollback(t.Context(), 0)
	must(t, err)
	if events := a.History(); slices.IndexFunc(events, func(e nodeapi.Event) bool {
		return e.What == "task" && strings.HasPrefix(e.Reason, "wallet.migrate is done") && e.Apps[0] == "wallet@"+v2
	}) < 0 {
		t.Errorf("history: %+v", events)
	}
	must(t, a.Close())
	w.calls("stop wallet.node", "start wallet.node")
	if r, err := w.install(two, nodeapi.InstallOptions{Retry: true}); err != nil || r.Outcome != nodeapi.Installed {
		t.Errorf("the same again: %+v, %v", r, err)
	}
	w.calls("stop wallet.node", "start wallet.node")
	w.mustInstall(w.migrating(v3, "done three", whileRunning))
	w.calls("start wallet.migrate", "stop wallet.node", "start wallet.node")
}

// A task that fails, or takes too long, is not counted as done, and the release before runs again, or
// still; its own task is not run.
func TestATaskThatFails(t *testing.T) {
	for name, test := range map[string]struct {
		what   string
		change func(*appfile.Service)
		want   string
		calls  []string
	}{
		"stopped meanwhile": {"crash two", nil, "task wallet.migrate failed: exit code 1", []string{"stop wallet.node", "start wallet.migrate", "start wallet.node"}},
		"running meanwhile": {"crash two", whileRunning, "task wallet.migrate failed: exit code 1", []string{"start wallet.migrate"}},
		"not a program":     {"what", whileRunning, `task wallet.migrate failed: start wallet.migrate: "what" is no program`, []string{"start wallet.migrate"}},
		"too long": {
			"up for ever", func(s *appfile.Service) { s.While, s.Within = appfile.Running, appfile.Duration(10*time.Millisecond) },
			"task wallet.migrate failed: it did not end within 10ms",
			[]string{"start wallet.migrate", "stop wallet.migrate"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mustInstall(w.migrating(v1, "done one", nil))
			w.Calls()
			two := w.migrating(v2, test.what, test.change)
			for _, o := range []nodeapi.InstallOptions{{}, {Retry: true}} { // it is run again when a person asks
				r, err := w.install(two, o)
				if r.Outcome != nodeapi.RolledBack || errs.KindOf(err) != errs.Partial || r.Reason != test.want || r.Check != "wallet.migrate: task" || len(r.Log) == 0 {
					t.Errorf("%+v, %v", r, err)
				}
				w.runs("wallet.node: up " + v1)
				if o.Retry {
					continue
				}
				w.calls(test.calls...)
			}
		})
	}
}

// After a task that failed, none is run.
func TestTheFirstTaskThatFailsIsTheLast(t *testing.T) {
	w := newWorld(t)
	task := func(artifact string) appfile.Service {
		return appfile.Service{Artifact: artifact, Runtime: "process", Kind: appfile.Task}
	}
	programs := map[string]string{"a": "done a", "b": "crash b", "c": "done c"}
	w.Release("wallet", v1, programs, map[string]appfile.Service{"a": task("a"), "b": task("b"), "c": task("c")})
	w.Promote("live", "wallet", v1)
	r, err := w.install(w.volume("one"), nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	if r.Outcome != nodeapi.RolledBack || r.Check != "wallet.b: task" || len(r.Tests) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	w.calls("start wallet.a", "start wallet.b")
}

// What is cut short is run again: not for an agent that ends, which the task outlives, but for a machine.
func TestATaskThatIsCutShort(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.migrating(v1, "done one", nil))
	two := w.migrating(v2, "up two", nil)
	w.Calls()
	tried := func() bool { return slices.Contains(w.Running(), "wallet.migrate: up two") }
	a := w.open()
	ctx, stop := context.WithCancel(t.Context())
	src, done, err := follow.OpenSource(two)
	must(t, err)
	cut := make(chan error, 1)
	go func() {
		_, err := a.Install(ctx, src, nodeapi.InstallOptions{})
		cut <- errors.Join(err, done())
	}()
	until(t, tried)
	stop()
	if err := <-cut; errs.KindOf(err) != errs.Cancelled {
		t.Errorf("an agent that is stopped: %v", err)
	}
	must(t, a.Close())
	w.calls("stop wallet.node", "start wallet.migrate")
	w.undecided(func(*agent.Agent) { until(t, tried) })
	w.calls()
	w.Boot()
	w.undecided(func(a *agent.Agent) {
		until(t, func() bool { // the status follows the start
			s := a.Status()
			return tried() && s.Trial != nil && s.Services[0].State == "running"
		})
		w.calls("start wallet.migrate")
		w.End("wallet.migrate", 0)
		until(t, func() bool { return a.Status().Good == 2 })
	})
	w.calls("start wallet.node")
}

// undecided runs an agent around f, which decides what the one before left open.
func (w *world) undecided(f func(a *agent.Agent)) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	w.o.Ready = func() { close(ready) } // it is not held up by the task
	a := w.open()
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	<-ready
	f(a)
	cancel()
	must(w.t, <-ran)
	must(w.t, a.Close())
}

// A person ends a task; something newer waits for its end.
func TestATaskIsEndedByAPersonAlone(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.migrating(v1, "done one", nil))
	w.running(func(a *agent.Agent) {
		tried := func() bool { return slices.Contains(w.Running(), "wallet.migrate: up two") }
		first := w.ask(a, w.migrating(v2, "up two", nil))
		until(t, tried)
		w.Calls()
		newer := w.ask(a, w.migrating(v3, "done three", nil))
		until(t, func() bool { _, err := os.Stat(filepath.Join(w.dir, "gen", "3")); return err == nil })
		if !tried() {
			t.Error("something newer ended the task")
		}
		w.End("wallet.migrate", 0)
		if r := got(t, "the newer one", newer); r.err != nil || r.r.Outcome != nodeapi.Installed || r.r.Generation != 3 {
			t.Errorf("the newer one: %+v, %v", r.r, r.err)
		}
		got(t, "the first", first)

		first = w.ask(a, w.migrating("r4.dddddddddddd", "up two", nil))
		until(t, tried)
		_, err := a.Rollback(t.Context(), 0)
		must(t, err)
		w.runs("wallet.node: up " + v3)
		if r := got(t, "the one that was ended", first); errs.KindOf(r.err) != errs.Cancelled {
			t.Errorf("the one that was ended: %+v, %v", r.r, r.err)
		}
	})
}

// A real task runs as the service does: as its user, with its data.
func TestATaskHasWhatTheServiceHas(t *testing.T) {
	w := newRealWorld(t)
	service := appfile.Service{
		Artifact: "node", Runtime: "process", Args: []string{"serve", "{{.Volumes.data}}"}, Data: map[string]string{"data": "/data"},
		Stable: appfile.Duration(time.Millisecond), SelfTest: []appfile.Check{{Log: "^found [0-9]+ of wallet@r1"}},
	}
	task := appfile.Service{Artifact: "node", Runtime: "process", Kind: appfile.Task, Args: []string{"migrate", "{{.Volumes.data}}"}, Data: service.Data}
	w.Release("wallet", v1, map[string]string{"node": `#!/bin/sh
case $1 in
migrate) echo "$(id -u) of $OVERLAND_TASK" > "$2/made"; echo migrated ;;
serve) [ "$(cut -d' ' -f1 "$2/made")" = "$(id -u)" ] && echo "found $(cat "$2/made")"; exec sleep 1000 ;;
esac
`}, map[string]appfile.Service{"node": service, "migrate": task})
	w.Promote("live", "wallet", v1)
	if r := w.mustInstall(w.volume("one")); r.Outcome != nodeapi.Installed {
		t.Errorf("%+v", r)
	}
	if lines, err := agent.PeekLogs(w.dir, "wallet.migrate", 10); err != nil || len(lines) != 1 || lines[0] != "migrated" {
		t.Errorf("log: %q, %v", lines, err)
	}
}
