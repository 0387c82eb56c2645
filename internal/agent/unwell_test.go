package agent_test

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/agent"
	"overland/internal/appfile"
)

// A service that is not well again after a restart, within an hour of the switch that changed it, leads
// back to the version before, which says why; after the hour, when nothing changed, and from a version
// that is refused itself, it does not.
func TestAServiceThatIsNotWellLeadsBack(t *testing.T) {
	w := newWorld(t)
	var clock atomic.Int64
	w.o.Boot = func() (string, time.Duration) { return "boot", time.Duration(clock.Load()) }
	w.mustInstall(w.wallet(v1, "up one"))
	w.mustInstall(w.wallet(v2, "up two"))
	three := w.wallet(v3, "up three")
	w.running(func(a *agent.Agent) {
		hung := errors.New("http http://127.0.0.1:80/ failed 3 times in a row: no answer")
		a.Unwell(t.Context(), "wallet.node", hung)
		if s := a.Status(); s.Generation != 2 {
			t.Errorf("after the first time: %+v", s)
		}
		a.Unwell(t.Context(), "wallet.node", hung)
		s := a.Status()
		if s.Generation != 1 || s.Good != 1 || len(s.Refused) != 1 || !strings.Contains(s.Refused[0].Reason, "service wallet.node was not well for the second time within an hour of the switch: http") {
			t.Errorf("after the second time: %+v", s)
		}
		w.runs("wallet.node: up one")
		// The one that it left is refused, so this one is kept.
		for range 4 {
			a.Unwell(t.Context(), "wallet.node", hung)
		}
		if s := a.Status(); s.Generation != 1 {
			t.Errorf("it goes on to the one that was left: %+v", s)
		}
		if r := got(t, "something newer", w.ask(a, three)); r.err != nil {
			t.Fatal(r.err)
		}
		a.Unwell(t.Context(), "other.node", hung)
		a.Unwell(t.Context(), "other.node", hung)
		clock.Add(int64(time.Hour))
		a.Unwell(t.Context(), "wallet.node", hung)
		a.Unwell(t.Context(), "wallet.node", hung)
		if s := a.Status(); s.Generation != 3 {
			t.Errorf("of nobody, or after an hour: %+v", s)
		}
		var reasons []string
		for _, e := range a.History() {
			reasons = append(reasons, e.Reason)
		}
		if !strings.Contains(strings.Join(reasons, "\n"), "not well for the second time") {
			t.Errorf("history: %q", reasons)
		}
	})
}

// The same, from a self-test that goes on to the version before, by the agent alone.
func TestASelfTestThatGoesOnLeadsBack(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	s := quick
	s.Restart.Backoff.Min, s.Restart.Backoff.Max = appfile.Duration(time.Millisecond), appfile.Duration(time.Millisecond)
	s.SelfTest = []appfile.Check{{TCP: l.Addr().String(), Every: appfile.Duration(appfile.MinEvery), Failures: 1, Within: appfile.Duration(time.Second)}}
	w.Release("wallet", v2, map[string]string{"node": "up two"}, services(s))
	w.Promote("live", "wallet", v2)
	two := w.volume("two")
	w.running(func(a *agent.Agent) {
		if r := got(t, "the version that will hang", w.ask(a, two)); r.err != nil {
			t.Fatal(r.err)
		}
		must(t, l.Close())
		until(t, func() bool { s := a.Status(); return s.Generation == 1 && s.Trial == nil })
		w.runs("wallet.node: up one")
	})
}
