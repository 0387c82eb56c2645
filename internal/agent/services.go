package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"overland/internal/agent/node"
	"overland/internal/appfile"
	"overland/internal/runtime"
)

// unit is one service that this agent keeps up.
type unit struct {
	inst runtime.Instance
	rt   runtime.Runtime
	sup  *runtime.Supervisor
}

// instances returns the services of generation g by name, ready to be started. Nothing is made on the disk.
func (a *Agent) instances(g *node.Generation) (map[string]runtime.Instance, error) {
	list := map[string]runtime.Instance{}
	if g == nil {
		return list, nil
	}
	for _, app := range g.Apps {
		for name, s := range app.Services {
			inst, err := a.instance(g.Number, app, name, s)
			if err != nil {
				return nil, err
			}
			list[inst.Name] = inst
		}
	}
	return list, nil
}

func (a *Agent) instance(number int, app node.App, name string, spec appfile.Service) (runtime.Instance, error) {
	full := app.App + "." + name
	s := runtime.Service{
		App: app.App, Version: app.Version, Commit: app.Commit, Name: name, Spec: spec, Artifacts: map[string]runtime.Artifact{},
		Home: filepath.Join(a.dir, "volumes", app.App), Log: logPath(a.dir, full), Record: filepath.Join(a.dir, "run", full+".json"),
	}
	for _, p := range app.Programs {
		s.Artifacts[p.Artifact] = runtime.Artifact{Path: filepath.Join(a.node.GenerationDir(number), app.ProgramPath(p)), Blob: p.Digest}
	}
	rt, err := a.o.Runtimes.For(spec)
	if err != nil {
		return runtime.Instance{}, fmt.Errorf("service %s: %w", full, err)
	}
	return s.Instance(rt)
}

// prepare makes the folders that inst needs.
func (a *Agent) prepare(inst runtime.Instance) error {
	for _, dir := range []string{filepath.Dir(inst.Log), filepath.Dir(inst.Record), inst.Dir} {
		if err := a.o.FS.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("service %s: %w", inst.Name, err)
		}
	}
	if err := runtime.MakeData(a.o.FS, inst); err != nil {
		return fmt.Errorf("service %s: %w", inst.Name, err)
	}
	return nil
}

// apply makes the services of generation g (nil = none) the ones that run: what g does not have is stopped first, what
// is different is replaced, and what is the same goes on running without noticing.
func (a *Agent) apply(ctx context.Context, g *node.Generation) error {
	want, err := a.instances(g)
	if err != nil {
		return err
	}
	stop := a.orphans(ctx, want)
	a.mu.Lock()
	for name, u := range a.units {
		if inst, ok := want[name]; !ok || inst.Digest() != u.inst.Digest() {
			stop = append(stop, u.sup.Stop)
			delete(a.units, name)
		}
	}
	a.mu.Unlock()
	if err := all(ctx, stop); err != nil {
		return fmt.Errorf("stop services: %w", err)
	}
	var failed error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		failed = errors.Join(failed, a.start(want[name]))
	}
	a.mu.Lock()
	units := slices.Collect(maps.Values(a.units))
	a.mu.Unlock()
	for _, u := range units {
		if err := started(ctx, u.sup); err != nil {
			return errors.Join(failed, err)
		}
	}
	return failed
}

// started returns when the first attempt to start is over, whatever became of it: an agent that ends right after must
// not leave a service that nobody started.
func started(ctx context.Context, sup *runtime.Supervisor) error {
	for {
		st, changed := sup.Watch()
		if st.State != runtime.Starting {
			return nil
		}
		select {
		case <-changed:
		case <-sup.Done():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// start keeps inst up from now on. A supervisor that already does, for another generation, hands over to a new one.
func (a *Agent) start(inst runtime.Instance) error {
	if err := a.prepare(inst); err != nil {
		return err
	}
	a.mu.Lock()
	u := a.units[inst.Name]
	a.mu.Unlock()
	if u != nil {
		if u.inst.Program == inst.Program {
			return nil
		}
		u.sup.Detach()
	}
	rt, err := a.o.Runtimes.For(inst.Spec)
	if err != nil {
		return fmt.Errorf("service %s: %w", inst.Name, err)
	}
	// Services outlive the request that starts them; detach ends the supervisor.
	sup := runtime.Supervise(context.Background(), rt, inst, runtime.Options{Log: a.o.Log.With(keyService, inst.Name)})
	a.mu.Lock()
	a.units[inst.Name] = &unit{inst: inst, rt: rt, sup: sup}
	a.mu.Unlock()
	return nil
}

// orphans returns how to stop what an earlier agent left running of the generations on the disk and that want, which is
// to run, does not have. What want has in another version is ended by its start, but for one of another runtime.
func (a *Agent) orphans(ctx context.Context, want map[string]runtime.Instance) (stop []func(context.Context) error) {
	st := a.node.State()
	numbers := []int{st.Current, st.Good, st.Before}
	if i := st.Intent; i != nil {
		numbers = append(numbers, i.Generation, i.From)
	}
	slices.Sort(numbers)
	for _, number := range slices.Compact(numbers) {
		g, err := a.node.Generation(number)
		if err != nil {
			continue // nothing is known of it, so nothing can be stopped
		}
		list, err := a.instances(g)
		if err != nil {
			continue
		}
		for name, inst := range list {
			a.mu.Lock()
			known := a.units[name] != nil
			a.mu.Unlock()
			if next, wanted := want[name]; known || (wanted && runtime.Word(next.Spec) == runtime.Word(inst.Spec)) {
				continue
			}
			rt, err := a.o.Runtimes.For(inst.Spec)
			if err != nil {
				continue // this agent did not start it
			}
			if p, ok := rt.Adopt(ctx, inst); ok {
				stop = append(stop, func(ctx context.Context) error { return p.Stop(ctx, inst.StopTimeout()) })
			}
		}
	}
	return stop
}

// all runs every function of list at once and returns their errors.
func all(ctx context.Context, list []func(context.Context) error) error {
	failed := make([]error, len(list))
	var wait sync.WaitGroup
	for i, f := range list {
		wait.Add(1)
		go func() {
			defer wait.Done()
			failed[i] = f(ctx)
		}()
	}
	wait.Wait()
	return errors.Join(failed...)
}

// detach stops watching every service and leaves it running.
func (a *Agent) detach() {
	a.mu.Lock()
	list := slices.Collect(maps.Values(a.units))
	a.units = map[string]*unit{}
	a.mu.Unlock()
	for _, u := range list {
		u.sup.Detach()
	}
}

// Stop stops every service of the node and waits until they are gone.
func (a *Agent) Stop(ctx context.Context) error {
	release, err := a.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	return a.apply(ctx, nil)
}

// Logs returns the last lines of the log of service app.service.
func (a *Agent) Logs(service string, lines int) ([]string, error) {
	return PeekLogs(a.dir, service, lines)
}
