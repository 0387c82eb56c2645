package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/agent/node"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/runtime"
)

const (
	failedLines = 20              // log lines of a service that failed
	startTime   = 2 * time.Minute // what stopping and starting may take beside the self-tests
)

// limit returns how long the attempts of one boot at g may take together.
func limit(g *node.Generation) time.Duration {
	longest := time.Duration(0)
	for _, app := range g.Apps {
		for _, s := range app.Services {
			within := s.Readiness.Or(runtime.DefaultWithin)
			for _, c := range s.SelfTest {
				within = max(within, c.Within.Or(0))
			}
			longest = max(longest, within+s.Stable.Or(runtime.DefaultStable)+2*s.StopTimeout.Or(10*time.Second))
		}
	}
	return longest + startTime
}

// settle decides the switch that the node's intent names: it starts the generation, proves it, and marks it good or
// goes back. When ctx ends first, nothing is decided and the next settle goes on. The caller has the turn.
func (a *Agent) settle(ctx context.Context) (nodeapi.Report, error) {
	i := a.node.State().Intent
	if i == nil {
		return nodeapi.Report{}, fmt.Errorf("settle: no switch is in progress")
	}
	err := a.node.Try()
	if errors.Is(err, node.ErrExhausted) {
		return a.back(ctx, node.Verdict{Reason: a.node.State().Intent.Failed}, nil)
	}
	if err != nil {
		return nodeapi.Report{}, err
	}
	g, err := a.node.Generation(i.Generation)
	if err != nil {
		return a.back(ctx, node.Verdict{Reason: err.Error()}, nil)
	}
	a.o.Log.Info("starting a generation", keyGeneration, i.Generation)
	tests, v := a.prove(ctx, g, a.proven(i))
	if ctx.Err() != nil {
		return nodeapi.Report{}, errors.Join(fmt.Errorf("generation %d: not decided yet: %w", i.Generation, ctx.Err()), a.node.Untry())
	}
	if v.Reason != "" {
		return a.back(ctx, v, tests)
	}
	if err := a.node.Good(); err != nil {
		return nodeapi.Report{}, err
	}
	a.o.Log.Info("a generation proved itself", keyGeneration, i.Generation)
	a.problem("current", "")
	a.mu.Lock()
	a.resumed = true
	a.mu.Unlock()
	a.collect(ctx)
	r := a.fill(nodeapi.Report{Outcome: nodeapi.Installed, Generation: g.Number, Tried: g.Number, From: i.From, Tests: tests}, g)
	a.mu.Lock()
	a.report = &r
	a.mu.Unlock()
	return r, nil
}

func (a *Agent) fill(r nodeapi.Report, g *node.Generation) nodeapi.Report {
	if g != nil {
		r.Apps, r.Channel, r.Source = appInfos(g), g.Channel, g.Source
	}
	a.mu.Lock()
	r.Freshness = a.fresh
	a.mu.Unlock()
	return r
}

func appInfos(g *node.Generation) []nodeapi.App {
	list := make([]nodeapi.App, len(g.Apps))
	for i, app := range g.Apps {
		list[i] = nodeapi.App{App: app.App, Version: app.Version, Release: app.Release}
	}
	return list
}

// proven returns the services that already proved themselves as they are in the generation that i leaves.
func (a *Agent) proven(i *node.Intent) map[string]runtime.Instance {
	if i.From == 0 || a.node.State().Good != i.From {
		return nil
	}
	g, err := a.node.Generation(i.From)
	if err != nil {
		return nil
	}
	list, err := a.instances(g)
	if err != nil {
		return nil
	}
	return list
}

// prove starts g and runs the self-tests of every service that is new or different from proven. An empty Reason of
// the verdict means that all passed.
func (a *Agent) prove(ctx context.Context, g *node.Generation, proven map[string]runtime.Instance) ([]nodeapi.Test, node.Verdict) {
	left := a.node.Left()
	bounded, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	a.progress(nodeapi.Progress{Step: "start", What: strings.Join(g.Names(), " ")})
	if err := a.apply(bounded, g); err != nil {
		return nil, node.Verdict{Reason: err.Error()}
	}
	a.ready()
	tests, v := a.selfTest(bounded, proven)
	if v.Reason == "" && bounded.Err() != nil && ctx.Err() == nil {
		v.Reason = fmt.Sprintf("generation %d did not prove itself within %s", g.Number, left.Round(time.Second))
	}
	return tests, v
}

// selfTest tests the services that run, but those that are the same in proven.
func (a *Agent) selfTest(ctx context.Context, proven map[string]runtime.Instance) ([]nodeapi.Test, node.Verdict) {
	a.mu.Lock()
	units := maps.Clone(a.units)
	a.mu.Unlock()
	names := slices.Sorted(maps.Keys(units))
	names = slices.DeleteFunc(names, func(name string) bool {
		old, ok := proven[name]
		return ok && old.Digest() == units[name].inst.Digest()
	})
	results := make([][]runtime.Result, len(names))
	var wait sync.WaitGroup
	for i, name := range names {
		a.progress(nodeapi.Progress{Step: "selftest", What: name})
		wait.Add(1)
		go func() {
			defer wait.Done()
			results[i] = runtime.SelfTest(ctx, units[name].rt, units[name].inst, units[name].sup)
		}()
	}
	wait.Wait()
	var tests []nodeapi.Test
	var v node.Verdict
	for i, name := range names {
		for _, r := range results[i] {
			tests = append(tests, nodeapi.Test{Service: name, Check: r.Check, OK: r.OK, Error: r.Err, Took: r.Took})
		}
		if r, bad := runtime.Failed(results[i]); bad && v.Reason == "" {
			lines, err := runtime.Tail(units[name].inst.Log, failedLines)
			if err != nil {
				lines = []string{err.Error()}
			}
			v = node.Verdict{Reason: "service " + name + " failed its self-test: " + r.String(), Check: name + ": " + r.Check, Log: lines}
		}
	}
	return tests, v
}

// back leaves the generation on trial for the one before it. The Report says why; so does the error.
func (a *Agent) back(ctx context.Context, v node.Verdict, tests []nodeapi.Test) (nodeapi.Report, error) {
	a.progress(nodeapi.Progress{Step: "back", What: v.Reason})
	if err := a.node.Fail(v); err != nil {
		return nodeapi.Report{}, err
	}
	i := a.node.State().Intent
	a.o.Log.Warn("a generation failed and is left", keyGeneration, i.Generation, keyReason, i.Failed)
	tried, err := a.node.Generation(i.Generation)
	if err != nil {
		tried = nil
	}
	var old *node.Generation
	if i.From > 0 {
		if old, err = a.node.Generation(i.From); err != nil {
			a.problem("current", fmt.Sprintf("generation %d, to which the node went back, cannot be read (%v); install a volume again", i.From, err))
		}
	}
	if err := a.apply(ctx, old); err != nil {
		if ctx.Err() != nil {
			return nodeapi.Report{}, fmt.Errorf("go back to generation %d: %w", i.From, err)
		}
		a.problem("current", fmt.Sprintf("generation %d, to which the node went back, does not run whole: %v", i.From, err))
	}
	if err := a.node.Back(); err != nil {
		return nodeapi.Report{}, err
	}
	a.collect(ctx)
	r := a.fill(nodeapi.Report{
		Outcome: nodeapi.RolledBack, Generation: i.From, Tried: i.Generation, From: i.From,
		Reason: i.Failed, Check: i.Check, Log: i.Log, Tests: tests,
	}, tried)
	a.mu.Lock()
	a.report = &r
	a.mu.Unlock()
	now := "nothing runs, as before"
	if old != nil {
		now = fmt.Sprintf("generation %d (%s) %s", old.Number, strings.Join(old.Names(), ", "), a.again(ctx, old, tried))
	}
	return r, errs.Hint(errs.Errorf(errs.Partial, "generation %d was rolled back: %s; %s", i.Generation, i.Failed, now),
		"overland-agent history shows the service's last log lines")
}

// again waits until the services of old, to which the node went back from tried, answer as they did, and returns what
// to say of it. The way back is decided already: a failure is a problem to report, nothing to switch for.
func (a *Agent) again(ctx context.Context, old, tried *node.Generation) string {
	bounded, cancel := context.WithTimeout(ctx, limit(old))
	defer cancel()
	var kept map[string]runtime.Instance
	if tried != nil {
		if list, err := a.instances(tried); err == nil {
			kept = list
		}
	}
	_, v := a.selfTest(bounded, kept)
	if v.Reason == "" {
		return "runs again"
	}
	a.problem("current", fmt.Sprintf("generation %d, to which the node went back, is not well: %s", old.Number, v.Reason))
	return "is back, but " + v.Reason
}

// collect removes the generations and blobs that nothing leads back to. What cannot be removed now is removed later.
func (a *Agent) collect(ctx context.Context) {
	kept, err := a.node.Collect()
	if err != nil {
		a.o.Log.Warn("old generations were not removed", keyError, err)
		return
	}
	var roots []ocispec.Descriptor
	for _, number := range kept {
		g, err := a.node.Generation(number)
		if err != nil {
			return // its blobs are not known, so nothing is removed
		}
		for _, app := range g.Apps {
			for _, d := range app.Blobs {
				roots = append(roots, ocispec.Descriptor{MediaType: "application/octet-stream", Digest: d})
			}
		}
	}
	if _, err := a.depot.Collect(ctx, roots); err != nil {
		a.o.Log.Warn("old blobs were not removed", keyError, err)
	}
	debug.FreeOSMemory() // what staging took; small machines have little
}

// resume brings the node to where its state says it should be: it decides an undecided switch, or starts or adopts
// the services of the current generation. A rolled-back switch is no error here.
func (a *Agent) resume(ctx context.Context) error {
	st := a.node.State()
	if st.Intent != nil {
		if _, err := a.settle(ctx); err != nil && errs.KindOf(err) != errs.Partial {
			return err
		}
		return nil
	}
	a.mu.Lock()
	resumed := a.resumed
	a.mu.Unlock()
	if resumed {
		return nil // supervisors keep up what runs
	}
	if st.Current == 0 {
		return a.apply(ctx, nil)
	}
	g, err := a.node.Generation(st.Current)
	if err != nil {
		a.problem("current", fmt.Sprintf("generation %d cannot be read (%v); install a volume again", st.Current, err))
		return nil
	}
	if err := a.apply(ctx, g); err != nil {
		if ctx.Err() != nil {
			return err
		}
		a.problem("current", fmt.Sprintf("generation %d does not run whole: %v", st.Current, err))
		return nil
	}
	a.problem("current", "")
	a.mu.Lock()
	a.resumed = true
	a.mu.Unlock()
	return nil
}

// Rollback switches to generation number, 0 for the good one before the current, by the same protocol as Install.
// What is left is not taken again until the channel names something new.
func (a *Agent) Rollback(ctx context.Context, number int) (nodeapi.Report, error) {
	a.interrupt()
	release, err := a.take(ctx)
	if err != nil {
		return nodeapi.Report{}, err
	}
	defer release()
	if err := a.resume(ctx); err != nil {
		return nodeapi.Report{}, err
	}
	st := a.node.State()
	if number == 0 {
		number = st.Before
	}
	if number == 0 {
		return nodeapi.Report{}, errs.Hint(errs.Errorf(errs.NotFound, "roll back: no good generation before %d is kept", st.Current), "overland-agent history")
	}
	g, err := a.node.Generation(number)
	if err != nil {
		return nodeapi.Report{}, err
	}
	if number == st.Current {
		return a.fill(nodeapi.Report{Outcome: nodeapi.Unchanged, Generation: number, Tried: number}, g), nil
	}
	if err := a.node.Begin(number, limit(g), "rollback"); err != nil {
		return nodeapi.Report{}, err
	}
	return a.settle(ctx)
}
