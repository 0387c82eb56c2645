package switchover

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"overland/internal/agent/node"
	"overland/internal/appfile"
	"overland/internal/nodeapi"
	"overland/internal/printer"
	"overland/internal/progress"
	"overland/internal/runtime"
)

// task is a task that is to be run for a generation.
type task struct {
	app  node.App
	inst runtime.Instance
}

// pending returns the tasks of g that were not done yet for their release, by name. Going back to what
// ran before needs none: it was prepared when it came.
func (s *Switch) pending(g *node.Generation) ([]task, error) {
	st := s.node.State()
	if st.Intent == nil || st.Intent.By != "install" && st.Intent.By != "recovery" {
		return nil, nil
	}
	list, err := s.services.instances(g)
	if err != nil {
		return nil, err
	}
	var tasks []task
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if list[name].Spec.Kind != appfile.Task {
			continue
		}
		app, _, _ := strings.Cut(name, ".")
		if a := g.App(app); !st.Did(name, a.Release) {
			tasks = append(tasks, task{*a, list[name]})
		}
	}
	return tasks, nil
}

// prepare runs the tasks of g, one after the other, while others may change the node. It returns what
// came of them; an empty Reason of the verdict means that all are done, and remembered.
func (s *Switch) prepare(ctx context.Context, g *node.Generation, t *trial) (tests []nodeapi.Test, v node.Verdict, ended error) {
	tasks, err := s.pending(g)
	if err == nil && len(tasks) > 0 {
		err = s.services.pause(ctx, g, tasks)
	}
	if err != nil {
		return nil, node.Verdict{Reason: printer.Error(err)}, nil // the verdict is the answer
	}
	if len(tasks) == 0 {
		return nil, v, nil
	}
	s.o.Ready() // a task may take an hour; that does not mean that the agent hangs
	ended = s.during(ctx, t, func(ctx context.Context) {
		for _, task := range tasks {
			var one nodeapi.Test
			if one, v = s.run(ctx, task, g); ctx.Err() != nil {
				return
			}
			if tests = append(tests, one); !one.OK {
				return
			}
		}
	})
	return tests, v, ended
}

// run runs one task to its end. When ctx ends first it goes on: an agent that was stopped is followed by
// one that adopts it, and who ends the switch stops what it does not leave.
func (s *Switch) run(ctx context.Context, t task, g *node.Generation) (nodeapi.Test, node.Verdict) {
	name, began := t.inst.Name, time.Now()
	within := t.inst.Spec.Within.Or(appfile.DefaultTask)
	s.o.Progress(progress.Event{Step: "task", What: name})
	test := nodeapi.Test{Service: name, Check: "task"}
	err := s.services.runTask(ctx, t.inst, g, within)
	test.Took = time.Since(began)
	if err == nil {
		err = s.node.DidTask(name, t.app.Release, nodeapi.Event{
			What: "task", Generation: g.Number, Apps: []string{t.app.App + "@" + t.app.Version},
			Reason: fmt.Sprintf("%s is done, after %s", name, test.Took.Round(time.Millisecond)),
		})
	}
	if err == nil {
		test.OK = true
		s.o.Log.Info("a task is done", "task", name, "took", test.Took)
		return test, node.Verdict{}
	}
	test.Error = printer.Error(err)
	lines, tailErr := runtime.Tail(t.inst.Log, failedLines)
	if tailErr != nil {
		lines = []string{tailErr.Error()}
	}
	return test, node.Verdict{Reason: "task " + name + " failed: " + test.Error, Check: name + ": task", Log: lines}
}

// runTask starts the task inst, or goes on with one that an earlier agent started, and returns nil when
// it ended without an error within that time.
func (s *services) runTask(ctx context.Context, inst runtime.Instance, g *node.Generation, within time.Duration) error {
	all, err := s.instances(g)
	if err != nil {
		return err
	}
	if err := s.prepare(inst, all); err != nil {
		return err
	}
	sup, err := s.supervise(inst)
	if err != nil {
		return err
	}
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		st, changed := sup.Watch()
		switch {
		case st.Done():
			return nil
		case st.Final:
			return fmt.Errorf("%s", cmp.Or(st.Err, exitText(st)))
		}
		select {
		case <-changed:
		case <-late.C:
			err := fmt.Errorf("it did not end within %s", appfile.Short(within))
			if st.Err != "" {
				err = fmt.Errorf("%w; %s", err, st.Err)
			}
			return err // who goes back stops it
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func exitText(st runtime.Status) string {
	if st.LastExit != nil {
		return st.LastExit.String()
	}
	return string(st.State)
}

// pause stops the services of the applications of tasks that are to run while they are stopped, whoever
// started them. Tasks that an earlier agent left running go on.
func (s *services) pause(ctx context.Context, g *node.Generation, tasks []task) error {
	apps, keep := map[string]bool{}, map[string]runtime.Instance{}
	for _, t := range tasks {
		apps[t.app.App] = apps[t.app.App] || t.inst.Spec.While != appfile.Running
		keep[t.inst.Name] = t.inst
	}
	paused := func(name string) bool {
		app, _, _ := strings.Cut(name, ".")
		_, wanted := keep[name]
		return apps[app] && !wanted
	}
	for _, number := range s.numbers() {
		other, err := s.node.Generation(number)
		if err != nil {
			continue // orphans says why
		}
		list, err := s.instances(other)
		if err != nil {
			continue
		}
		for name, inst := range list {
			if _, known := keep[name]; !known && !paused(name) {
				keep[name] = inst
			}
		}
	}
	stop := s.orphans(ctx, keep)
	s.mu.Lock()
	for name, u := range s.units {
		if paused(name) {
			stop = append(stop, u.sup.Stop)
			delete(s.units, name)
		}
	}
	s.mu.Unlock()
	if err := all(ctx, stop); err != nil {
		return fmt.Errorf("stop services before a task: %w", err)
	}
	return nil
}
