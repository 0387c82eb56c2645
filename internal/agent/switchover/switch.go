package switchover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/agent/node"
	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/printer"
	"overland/internal/progress"
	"overland/internal/runtime"
)

const (
	failedLines = 20              // log lines of a service that failed
	startTime   = 2 * time.Minute // what stopping and starting may take beside the self-tests
)

// Options are what a Switch needs beside the node.
type Options struct {
	FS       fsx.FS
	Log      *slog.Logger
	Runtimes runtime.Set
	Progress func(progress.Event)
	Ready    func() // called when the services of a generation run, before they are tested
	// Yield gives up the right to change the node until again is called, which waits to have it
	// back; nil = nobody else wants it.
	Yield     func() (again func())
	Freshness func() nodeapi.Freshness // of what the node acts on
}

// Depot is where the blobs of generations are.
type Depot interface {
	// Collect removes the blobs that roots do not lead to.
	Collect(ctx context.Context, roots []ocispec.Descriptor, known ...string) (freed int64, err error)
}

// Switch makes what runs what the node's state says. Status and Report may be called at any time;
// of the other methods one runs at a time, which the caller sees to.
type Switch struct {
	o        Options
	node     *node.Node
	depot    Depot
	services *services

	mu      sync.Mutex
	report  *nodeapi.Report
	resumed bool   // the services of the current generation are supervised
	trial   *trial // whose self-tests run
	ails    ails   // only the one who may change the node touches it
}

// instances are services that can be started, by name.
type instances = map[string]runtime.Instance

// New returns a Switch that has started nothing yet.
func New(n *node.Node, depot Depot, o Options) *Switch {
	if o.Yield == nil {
		o.Yield = func() func() { return func() {} }
	}
	return &Switch{o: o, node: n, depot: depot, services: &services{
		node: n, runtimes: o.Runtimes, fs: o.FS, log: o.Log, units: map[string]*unit{}, unwell: make(chan Unwell, 1),
	}}
}

// Begin makes generation number the node's intent, and settings what it follows. A switch in progress
// is ended before.
func (s *Switch) Begin(ctx context.Context, number int, g *node.Generation, settings node.Settings) error {
	s.awaitTasks(ctx)
	why := "something newer came: " + strings.Join(g.Names(), ", ")
	if err := s.End(ctx, why, false); err != nil {
		return err
	}
	return s.node.BeginFollowing(number, limit(g), "install", settings)
}

// Stop stops every service of the node and waits until they are gone.
func (s *Switch) Stop(ctx context.Context) error { return s.services.apply(ctx, nil) }

// Detach stops watching every service and leaves it running, for the next agent to adopt.
func (s *Switch) Detach() { s.services.detach() }

// Fill puts into list what is known of the services that run.
func (s *Switch) Fill(list []nodeapi.Service) { s.services.fill(list) }

// Report returns the report of the last switch that this Switch decided, or nil.
func (s *Switch) Report() *nodeapi.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// limit returns how long the attempts of one boot at g may take together.
func limit(g *node.Generation) time.Duration {
	longest, tasks := time.Duration(0), time.Duration(0)
	for _, app := range g.Apps {
		for _, s := range app.Services {
			within := s.Readiness.Or(runtime.DefaultWithin)
			for _, c := range s.SelfTest {
				within = max(within, c.Within.Or(0))
			}
			// A generation that an older agent took may ask for more than a release may.
			within, stable, stop := min(within, appfile.MaxWithin), min(s.Stable.Or(runtime.DefaultStable), appfile.MaxStable),
				min(s.StopTimeout.Or(10*time.Second), appfile.MaxStop)
			if s.Kind == appfile.Task {
				tasks += min(s.Within.Or(appfile.DefaultTask), appfile.MaxWithin) + 2*stop
				continue
			}
			longest = max(longest, within+stable+2*stop)
		}
	}
	return tasks + longest + startTime
}

func (s *Switch) decide(ctx context.Context, t *trial) (nodeapi.Report, error) {
	i := s.node.State().Intent
	if i == nil {
		return nodeapi.Report{}, fmt.Errorf("decide: no switch is in progress")
	}
	err := s.node.Try()
	if errors.Is(err, node.ErrExhausted) {
		return s.back(ctx, node.Verdict{Reason: s.node.State().Intent.Failed}, nil)
	}
	if err != nil {
		return nodeapi.Report{}, err
	}
	g, err := s.node.Generation(i.Generation)
	if err != nil {
		return s.back(ctx, node.Verdict{Reason: printer.Error(err)}, nil)
	}
	s.o.Log.Info("starting a generation", "generation", i.Generation)
	s.tellStopped(i.From, g)
	t.generation = i.Generation
	tests, v, ended := s.prove(ctx, g, s.proven(i), t)
	if ended != nil {
		return nodeapi.Report{}, ended
	}
	if ctx.Err() != nil {
		return nodeapi.Report{}, errors.Join(fmt.Errorf("generation %d: not decided yet: %w", i.Generation, ctx.Err()), s.node.Untry())
	}
	if v.Reason != "" {
		return s.back(ctx, v, tests)
	}
	if err := s.node.Good(); err != nil {
		return nodeapi.Report{}, err
	}
	s.o.Log.Info("a generation proved itself", "generation", i.Generation)
	s.node.Problem("current", "")
	s.mu.Lock()
	s.resumed = true
	s.mu.Unlock()
	s.collect(ctx)
	r := s.Result(nodeapi.Report{Outcome: nodeapi.Installed, Generation: g.Number, Tried: g.Number, From: i.From, Tests: tests}, g)
	s.mu.Lock()
	s.report = &r
	s.mu.Unlock()
	return r, nil
}

// Result returns r with what runs in generation g, and how new that
// is. A nil g leaves out what runs.
func (s *Switch) Result(r nodeapi.Report, g *node.Generation) nodeapi.Report {
	if g != nil {
		r.Apps, r.Channel, r.Source = g.Info(), g.Channel, g.Source
	}
	r.Freshness = s.o.Freshness()
	return r
}

// proven returns the services that already proved themselves as they are
// in the generation that i leaves.
func (s *Switch) proven(i *node.Intent) instances {
	if i.From == 0 || s.node.State().Good != i.From {
		return nil
	}
	g, err := s.node.Generation(i.From)
	if err != nil {
		return nil
	}
	list, err := s.services.instances(g)
	if err != nil {
		return nil
	}
	return list
}

// prove starts g and runs the self-tests of every service that is new or different from proven. An
// empty Reason of the verdict means that all passed.
func (s *Switch) prove(ctx context.Context, g *node.Generation, proven instances, t *trial) ([]nodeapi.Test, node.Verdict, error) {
	left := s.node.Left()
	bounded, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	tests, v, ended := s.prepare(bounded, g, t)
	close(t.prepared)
	if ended == nil && v.Reason == "" && bounded.Err() == nil {
		s.o.Progress(progress.Event{Step: "start", What: strings.Join(g.Names(), " ")})
		if err := s.services.apply(bounded, g); err != nil {
			return tests, node.Verdict{Reason: printer.Error(err)}, nil
		}
		s.o.Ready()
		var more []nodeapi.Test
		more, v, ended = s.test(bounded, t, proven)
		tests = append(tests, more...)
	}
	if v.Reason == "" && bounded.Err() != nil && ctx.Err() == nil {
		v.Reason = fmt.Sprintf("generation %d did not prove itself within %s", g.Number, left.Round(time.Second))
	}
	return tests, v, ended
}

// selfTest tests the services that run, but those that are the same in proven.
func (s *Switch) selfTest(ctx context.Context, proven instances) ([]nodeapi.Test, node.Verdict) {
	units := s.services.running()
	names := slices.Sorted(maps.Keys(units))
	names = slices.DeleteFunc(names, func(name string) bool {
		if units[name].inst.Spec.Kind == appfile.Task {
			return true
		}
		old, ok := proven[name]
		return ok && old.Digest() == units[name].inst.Digest()
	})
	results := make([][]runtime.Result, len(names))
	var wait sync.WaitGroup
	for i, name := range names {
		s.o.Progress(progress.Event{Step: "selftest", What: name})
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
				lines = []string{printer.Error(err)}
			}
			v = node.Verdict{Reason: "service " + name + " failed its self-test: " + r.String(), Check: name + ": " + r.Check, Log: lines}
		}
	}
	return tests, v
}

// leave leaves the generation of the node's intent for the one before it. It returns why, the
// generation that was tried and the one that runs again; nil is one that cannot be read, or none.
func (s *Switch) leave(ctx context.Context, v node.Verdict) (i *node.Intent, tried, old *node.Generation, err error) {
	s.o.Progress(progress.Event{Step: "back", What: v.Reason})
	if err := s.node.Fail(v); err != nil {
		return nil, nil, nil, err
	}
	i = s.node.State().Intent
	s.o.Log.Warn("a generation failed and is left", "generation", i.Generation, "reason", i.Failed)
	if tried, err = s.node.Generation(i.Generation); err != nil {
		tried = nil
	}
	if i.From > 0 {
		if old, err = s.node.Generation(i.From); err != nil {
			s.node.Problem("current", fmt.Sprintf("generation %d, to which the node went back, cannot be read (%v); install a volume again", i.From, err))
		}
	}
	if err := s.services.apply(ctx, old); err != nil {
		if ctx.Err() != nil {
			return nil, nil, nil, fmt.Errorf("go back to generation %d: %w", i.From, err)
		}
		s.node.Problem("current", fmt.Sprintf("generation %d, to which the node went back, does not run whole: %v", i.From, err))
	}
	return i, tried, old, s.node.Back()
}

// back leaves the generation on trial for the one before it. The
// Report says why; so does the error.
func (s *Switch) back(ctx context.Context, v node.Verdict, tests []nodeapi.Test) (nodeapi.Report, error) {
	i, tried, old, err := s.leave(ctx, v)
	if err != nil {
		return nodeapi.Report{}, err
	}
	s.collect(ctx)
	r := s.Result(nodeapi.Report{
		Outcome: nodeapi.RolledBack, Generation: i.From, Tried: i.Generation, From: i.From,
		Reason: i.Failed, Check: i.Check, Log: i.Log, Tests: tests,
	}, tried)
	s.mu.Lock()
	s.report = &r
	s.mu.Unlock()
	now := "nothing runs, as before"
	if old != nil {
		now = fmt.Sprintf("generation %d (%s) %s", old.Number, strings.Join(old.Names(), ", "), s.retest(ctx, old, tried))
	}
	if i.Followed != nil {
		now += ", and the node follows channel " + i.Followed.Channel + " again"
	}
	return r, errs.Hint(errs.Errorf(errs.Partial, "generation %d was rolled back: %s; %s", i.Generation, i.Failed, now),
		"%s", remedy(i.Log))
}

// retest waits until the services of old, to which the node went back from tried, answer as they
// did, and returns what to say of it. The way back is decided already: a failure is a problem to
// report, nothing to switch for.
func (s *Switch) retest(ctx context.Context, old, tried *node.Generation) string {
	bounded, cancel := context.WithTimeout(ctx, limit(old))
	defer cancel()
	var kept instances
	if tried != nil {
		if list, err := s.services.instances(tried); err == nil {
			kept = list
		}
	}
	_, v := s.selfTest(bounded, kept)
	if v.Reason == "" {
		return "runs again"
	}
	s.node.Problem("current", fmt.Sprintf("generation %d, to which the node went back, is not well: %s", old.Number, v.Reason))
	return "is back, but " + v.Reason
}

// collect removes the generations and blobs that nothing leads back to. What cannot
// be removed now is removed later.
func (s *Switch) collect(ctx context.Context) {
	kept, err := s.node.Collect()
	if err != nil {
		s.o.Log.Warn("old generations were not removed", "error", err)
		return
	}
	var roots []ocispec.Descriptor
	for _, number := range kept {
		g, err := s.node.Generation(number)
		if err != nil {
			return // its blobs are not known, so nothing is removed
		}
		for _, app := range g.Apps {
			for _, d := range app.Blobs {
				roots = append(roots, ocispec.Descriptor{MediaType: "application/octet-stream", Digest: d})
			}
		}
	}
	if _, err := s.depot.Collect(ctx, roots); err != nil {
		s.o.Log.Warn("old blobs were not removed", "error", err)
	}
	debug.FreeOSMemory() // what staging took; small machines have little
}

// Resume brings the node to where its state says it should be: it decides an undecided
// switch, or starts or adopts the services of the current generation. A switch that is
// rolled back is not an error here.
func (s *Switch) Resume(ctx context.Context) error {
	st := s.node.State()
	if s.Trying() != 0 {
		return nil // it is being decided
	}
	if st.Intent != nil {
		if _, err := s.Decide(ctx); err != nil && errs.KindOf(err) != errs.Partial {
			return err
		}
		return nil
	}
	s.mu.Lock()
	resumed := s.resumed
	s.mu.Unlock()
	if resumed {
		return nil // supervisors keep up what runs
	}
	if st.Current == 0 {
		return s.services.apply(ctx, nil)
	}
	g, err := s.node.Generation(st.Current)
	if err != nil {
		s.node.Problem("current", fmt.Sprintf("generation %d cannot be read (%v); install a volume again", st.Current, err))
		return nil
	}
	if err := s.services.apply(ctx, g); err != nil {
		if ctx.Err() != nil {
			return err
		}
		s.node.Problem("current", fmt.Sprintf("generation %d does not run whole: %v", st.Current, err))
		return nil
	}
	s.node.Problem("current", "")
	s.mu.Lock()
	s.resumed = true
	s.mu.Unlock()
	return nil
}

// Rollback switches to generation number, 0 for the good one before the current, by the same
// protocol as an installation. What is left is not taken again until the channel names something
// new. A switch that is not decided yet is ended first, which is all when number is 0.
func (s *Switch) Rollback(ctx context.Context, number int) (nodeapi.Report, error) {
	if i := s.node.State().Intent; i != nil {
		if err := s.End(ctx, "rolled back by the operator", true); err != nil {
			return nodeapi.Report{}, err
		}
		if number == 0 || number == i.From {
			return s.backFrom(i)
		}
	}
	if err := s.Resume(ctx); err != nil {
		return nodeapi.Report{}, err
	}
	st := s.node.State()
	number = cmp.Or(number, st.Before)
	switch {
	case number == 0 && st.Current == 0:
		return nodeapi.Report{}, errs.Hint(errs.Errorf(errs.NotFound, "roll back: nothing is installed"), "overland-agent history")
	case number == 0:
		return nodeapi.Report{}, errs.Hint(errs.Errorf(errs.NotFound, "roll back: no good generation before %d is kept", st.Current), "overland-agent history")
	}
	g, err := s.node.Generation(number)
	if err != nil {
		return nodeapi.Report{}, err
	}
	if number == st.Current {
		return s.Result(nodeapi.Report{Outcome: nodeapi.Unchanged, Generation: number, Tried: number}, g), nil
	}
	if err := s.Ports(g); err != nil {
		return nodeapi.Report{}, err
	}
	if g.Channel != "" {
		st.Settings.Channel = g.Channel // what ran then was that channel's
	}
	if err := s.node.BeginFollowing(number, limit(g), "rollback", st.Settings); err != nil {
		return nodeapi.Report{}, err
	}
	return s.Decide(ctx)
}

// backFrom reports what runs after the switch i was ended by a person.
func (s *Switch) backFrom(i *node.Intent) (nodeapi.Report, error) {
	r := nodeapi.Report{Outcome: nodeapi.RolledBack, Generation: i.From, Tried: i.Generation, From: i.From, Reason: "rolled back by the operator"}
	if i.From == 0 {
		return s.Result(r, nil), nil
	}
	g, err := s.node.Generation(i.From)
	if err != nil {
		return nodeapi.Report{}, err
	}
	return s.Result(r, g), nil
}
