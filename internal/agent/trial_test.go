package agent_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/agent"
	"overland/internal/agent/follow"
	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

// endless is a service whose self-test passes when somebody writes "go" into its log.
func endless() map[string]appfile.Service {
	s := quick
	s.SelfTest = []appfile.Check{{Log: "^go$", Within: appfile.Duration(appfile.MaxWithin)}}
	return services(s)
}

// slow releases and promotes wallet@version, whose self-test is endless, and returns a volume of it.
func (w *world) slow(version, what string) string {
	w.t.Helper()
	w.Release("wallet", version, map[string]string{"node": what}, endless())
	w.Promote("live", "wallet", version)
	return w.volume(version)
}

type answer struct {
	r   nodeapi.Report
	err error
}

// ask installs path with a, beside everything else.
func (w *world) ask(a *agent.Agent, path string) <-chan answer {
	w.t.Helper()
	src, done, err := follow.OpenSource(path)
	must(w.t, err)
	got := make(chan answer, 1)
	go func() {
		r, err := a.Install(context.Background(), src, nodeapi.InstallOptions{})
		got <- answer{r, errors.Join(err, done())}
	}()
	return got
}

// got returns the answer, which must come now.
func got(t *testing.T, what string, c <-chan answer) answer {
	t.Helper()
	select {
	case a := <-c:
		return a
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: no answer", what)
		return answer{}
	}
}

// trying runs an agent around f while wallet@v2, whose self-test is endless, is tried after v1.
func trying(t *testing.T, f func(w *world, a *agent.Agent, two string, first <-chan answer)) {
	t.Helper()
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	two := w.slow(v2, "up two")
	w.running(func(a *agent.Agent) {
		first := w.ask(a, two)
		until(t, func() bool {
			s := a.Status()
			return s.Trial != nil && s.Trial.Generation == 2 && len(w.Running()) == 1 && w.Running()[0] == "wallet.node: up two"
		})
		f(w, a, two, first)
	})
}

// A person's roll-back ends the switch that a self-test of an hour holds up.
func TestS15ARollbackEndsASelfTest(t *testing.T) {
	trying(t, func(w *world, a *agent.Agent, two string, first <-chan answer) {
		back := make(chan answer, 1)
		go func() {
			r, err := a.Rollback(context.Background(), 0)
			back <- answer{r, err}
		}()
		b := got(t, "roll back", back)
		if b.err != nil || b.r.Outcome != nodeapi.RolledBack || b.r.Generation != 1 || b.r.Tried != 2 {
			t.Errorf("roll back: %+v, %v", b.r, b.err)
		}
		w.runs("wallet.node: up one")
		if f := got(t, "the installation", first); errs.KindOf(f.err) != errs.Cancelled || !strings.Contains(f.err.Error(), "rolled back by the operator") {
			t.Errorf("the installation: %+v, %v", f.r, f.err)
		}
		// It is not taken again by itself.
		if again := got(t, "again", w.ask(a, two)); errs.KindOf(again.err) != errs.Conflict {
			t.Errorf("again: %+v, %v", again.r, again.err)
		}
		if s := a.Status(); s.Trial != nil || s.Generation != 1 || s.Good != 1 {
			t.Errorf("status: %+v", s)
		}
	})
}

// Something newer ends the switch too, once all of it is here; what was tried may come again.
func TestS15SomethingNewerEndsASelfTest(t *testing.T) {
	trying(t, func(w *world, a *agent.Agent, two string, first <-chan answer) {
		three := got(t, "something newer", w.ask(a, w.wallet(v3, "up three")))
		if three.err != nil || three.r.Outcome != nodeapi.Installed || three.r.Generation != 3 {
			t.Errorf("something newer: %+v, %v", three.r, three.err)
		}
		w.runs("wallet.node: up three")
		if f := got(t, "the installation", first); errs.KindOf(f.err) != errs.Cancelled {
			t.Errorf("the installation: %+v, %v", f.r, f.err)
		}
		if s := a.Status(); s.Trial != nil || s.Good != 3 || len(s.Refused) != 0 {
			t.Errorf("status: %+v", s)
		}
	})
}

// A source that cannot be used does not end a switch, and a request for the same generation waits
// for its outcome.
func TestS15TheSwitchGoesOn(t *testing.T) {
	trying(t, func(w *world, a *agent.Agent, two string, first <-chan answer) {
		bad := filepath.Join(t.TempDir(), "bad.volume")
		b, err := os.ReadFile(two)
		must(t, err)
		b[bytes.Index(b, []byte("up two"))] ^= 1
		must(t, os.WriteFile(bad, b, 0o644))
		src, done, err := follow.OpenSource(bad)
		if err == nil {
			_, err = a.Install(context.Background(), src, nodeapi.InstallOptions{})
			must(t, done())
		}
		if errs.KindOf(err) != errs.Untrusted {
			t.Errorf("a damaged volume: %v", err)
		}
		same := w.ask(a, two)
		log, err := os.OpenFile(filepath.Join(w.dir, "log", "wallet.node.log"), os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		select {
		case s := <-same:
			t.Errorf("it did not wait: %+v, %v", s.r, s.err)
		case <-time.After(300 * time.Millisecond):
		}
		_, err = log.WriteString("go\n")
		must(t, errors.Join(err, log.Close()))
		for _, c := range []<-chan answer{first, same} {
			if g := got(t, "the outcome", c); g.err != nil || g.r.Outcome != nodeapi.Installed || g.r.Generation != 2 {
				t.Errorf("outcome: %+v, %v", g.r, g.err)
			}
		}
	})
}

// A machine that fails at any step of ending a switch goes on with it, or has ended it.
func TestS15EndingASwitchSurvivesACrash(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t)
		w.mustInstall(w.wallet(v1, "up one"))
		two := w.slow(v2, "up two")
		var count atomic.Int64 // of steps that are left; 0 = the machine does not fail
		w.o.FS = fsx.FS{Before: func(fsx.Op) error {
			if left := count.Load(); left > 0 && (left == 1 || count.Add(-1) == 0) {
				return errors.New("the machine is gone")
			}
			return nil
		}}
		a := w.open()
		first := w.ask(a, two)
		until(t, func() bool {
			s := a.Status()
			return s.Trial != nil && len(w.Running()) == 1 && w.Running()[0] == "wallet.node: up two"
		})
		count.Store(int64(n) + 1)
		_, err := a.Rollback(context.Background(), 0)
		over := err == nil && count.Load() > 1
		count.Store(0)
		got(t, "the installation", first)
		must(t, a.Close())
		w.o.FS = fsx.FS{}
		w.running(func(a *agent.Agent) {
			if a.Status().Trial != nil {
				_, err := a.Rollback(context.Background(), 0)
				must(t, err)
			}
			if s := a.Status(); s.Trial != nil || s.Generation != 1 || s.Good != 1 {
				t.Errorf("after %d steps: %+v", n, s)
			}
		})
		w.runs("wallet.node: up one")
		if over {
			if n < 4 {
				t.Errorf("only %d steps: is the hook called?", n)
			}
			t.Logf("%d steps", n)
			return
		}
	}
}
