package switchover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"

	"overland/internal/agent/node"
	"overland/internal/appfile"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/runtime"
)

// services are those that this agent keeps up. Its lock is held for its maps only,
// never while anything is waited for.
type services struct {
	node     *node.Node
	runtimes runtime.Set
	fs       fsx.FS
	log      *slog.Logger

	unwell chan Unwell // a place for each that is told

	mu    sync.Mutex
	units map[string]*unit
}

// unit is one service that this agent keeps up.
type unit struct {
	inst runtime.Instance
	rt   runtime.Runtime
	sup  *runtime.Supervisor
}

// instances returns the services of generation g by name, ready to be
// started. Nothing is made on the disk.
func (s *services) instances(g *node.Generation) (map[string]runtime.Instance, error) {
	list := map[string]runtime.Instance{}
	if g == nil {
		return list, nil
	}
	for _, app := range g.Apps {
		for name, spec := range app.Services {
			inst, err := s.instance(g.Number, app, name, spec)
			if err != nil {
				return nil, err
			}
			for other := range app.Services {
				if other != name {
					inst.Fellows = append(inst.Fellows, s.record(app.App+"."+other))
				}
			}
			list[inst.Name] = inst
		}
	}
	return list, nil
}

// record returns the record file of service app.service.
func (s *services) record(full string) string {
	return filepath.Join(s.node.Dir(), "run", full+".json")
}

func (s *services) instance(number int, app node.App, name string, spec appfile.Service) (runtime.Instance, error) {
	full := app.App + "." + name
	if spec.Kind == appfile.Task {
		spec.Restart.Policy = "never"
	}
	svc := runtime.Service{
		App: app.App, Version: app.Version, Commit: app.Commit, Name: name, Spec: spec, Artifacts: map[string]runtime.Artifact{},
		Hidden: []string{s.node.Dir()},
		Home:   filepath.Join(s.node.Dir(), "volumes", app.App), Log: s.node.LogPath(full), Record: s.record(full),
	}
	for _, p := range app.Programs {
		svc.Artifacts[p.Artifact] = runtime.Artifact{Path: filepath.Join(s.node.GenerationDir(number), app.ProgramPath(p)), Blob: p.Digest}
	}
	rt, err := s.runtimes.For(spec)
	if err != nil {
		return runtime.Instance{}, fmt.Errorf("service %s: %w", full, err)
	}
	if os.Geteuid() == 0 && runtime.Word(spec) == runtime.ProcessWord && spec.User == "" {
		uid, err := s.node.UserOf(app.App)
		if err != nil {
			return runtime.Instance{}, fmt.Errorf("service %s: %w", full, err)
		}
		svc.User = fmt.Sprintf("%d:%d", uid, uid)
	}
	inst, err := svc.Instance(rt)
	if spec.Kind == appfile.Task { // one run is for one release: another's is not this one's
		inst.Env = append(inst.Env, taskVar+"="+app.App+"@"+app.Version+" "+app.Release.String())
	}
	return inst, err
}

// taskVar names, to a task, the release for which it is run.
const taskVar = "OVERLAND_TASK"

// prepare makes the folders that inst, one of all, needs.
func (s *services) prepare(inst runtime.Instance, all map[string]runtime.Instance) error {
	for _, dir := range []string{filepath.Dir(inst.Log), filepath.Dir(inst.Record), inst.Dir} {
		if err := s.fs.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("service %s: %w", inst.Name, err)
		}
	}
	if err := cmp.Or(s.open(inst), closeFolder(s.fs, inst.Dir, all)); err != nil {
		return fmt.Errorf("service %s: %w", inst.Name, err)
	}
	if err := runtime.MakeData(s.fs, inst); err != nil {
		return fmt.Errorf("service %s: %w", inst.Name, err)
	}
	return nil
}

// apply makes the services of generation g (nil = none) the ones that run: what g
// does not have is stopped first, what is different is replaced, and what is the same
// goes on running without noticing.
func (s *services) apply(ctx context.Context, g *node.Generation) error {
	want, err := s.instances(g)
	if err != nil {
		return err
	}
	stop := s.orphans(ctx, want)
	var forget []*unit
	s.mu.Lock()
	for name, u := range s.units {
		if inst, ok := want[name]; !ok || inst.Digest() != u.inst.Digest() {
			stop = append(stop, u.sup.Stop)
			if g != nil { // left for another version: should it come back, it has its work to do again
				forget = append(forget, u)
			}
			delete(s.units, name)
		}
	}
	s.mu.Unlock()
	if err := all(ctx, stop); err != nil {
		return fmt.Errorf("stop services: %w", err)
	}
	for _, u := range forget {
		if r, ok := u.rt.(runtime.Rememberer); ok {
			if err := r.Forget(u.inst); err != nil && !fsx.TakesNothing(err) {
				return fmt.Errorf("service %s: %w", u.inst.Name, err)
			}
		}
	}
	var failed error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if want[name].Spec.Kind == appfile.Task {
			continue // it was run before
		}
		failed = errors.Join(failed, s.start(want[name], want))
	}
	s.mu.Lock()
	units := slices.Collect(maps.Values(s.units))
	s.mu.Unlock()
	for _, u := range units {
		if err := started(ctx, u.sup); err != nil {
			return errors.Join(failed, err)
		}
	}
	return failed
}

// started returns when the first attempt to start is over, whatever became of it: an agent that
// ends right after must not leave a service that nobody started.
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

// start keeps inst, one of all, up from now on. A supervisor that already does, for another
// generation, hands over to a new one.
func (s *services) start(inst runtime.Instance, all map[string]runtime.Instance) error {
	if err := s.prepare(inst, all); err != nil {
		return err
	}
	s.mu.Lock()
	u := s.units[inst.Name]
	s.mu.Unlock()
	if u != nil {
		if u.inst.Program == inst.Program {
			return nil
		}
		u.sup.Detach()
	}
	_, err := s.supervise(inst)
	return err
}

// supervise keeps inst up, or a task watched, from now on.
func (s *services) supervise(inst runtime.Instance) (*runtime.Supervisor, error) {
	rt, err := s.runtimes.For(inst.Spec)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", inst.Name, err)
	}
	// Services outlive the request that starts them; detach ends the supervisor.
	sup := runtime.Supervise(context.Background(), rt, inst, runtime.Options{
		Log: s.log.With("service", inst.Name), Unwell: func(err error) { s.ail(inst.Name, err) },
	})
	s.mu.Lock()
	s.units[inst.Name] = &unit{inst: inst, rt: rt, sup: sup}
	s.mu.Unlock()
	return sup, nil
}

// numbers returns the generations on the disk whose services may run.
func (s *services) numbers() []int {
	st := s.node.State()
	numbers := []int{st.Current, st.Good, st.Before}
	if i := st.Intent; i != nil {
		numbers = append(numbers, i.Generation, i.From)
	}
	sort.Sort(sort.IntSlice(numbers)) //nolint:staticcheck // as in node.numbers
	return slices.Compact(numbers)
}

// orphans returns how to stop what an earlier agent left running of the generations on the disk and
// that want, which is to run, does not have. What want has in another version is ended by its
// start, but for one of another runtime.
func (s *services) orphans(ctx context.Context, want map[string]runtime.Instance) (stop []func(context.Context) error) {
	for _, number := range s.numbers() {
		g, err := s.node.Generation(number)
		if err != nil {
			continue // nothing is known of it, so nothing can be stopped
		}
		list, err := s.instances(g)
		if err != nil {
			continue
		}
		for name, inst := range list {
			s.mu.Lock()
			known := s.units[name] != nil
			s.mu.Unlock()
			next, wanted := want[name]
			if wanted && inst.Spec.Kind == appfile.Task {
				wanted = next.Digest() == inst.Digest() // no start ends another release's
			}
			if known || wanted && runtime.Word(next.Spec) == runtime.Word(inst.Spec) {
				continue
			}
			rt, err := s.runtimes.For(inst.Spec)
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
func (s *services) detach() {
	s.mu.Lock()
	list := slices.Collect(maps.Values(s.units))
	s.units = map[string]*unit{}
	s.mu.Unlock()
	for _, u := range list {
		u.sup.Detach()
	}
}

// fill puts into list what the supervisors know of their services.
func (s *services) fill(list []nodeapi.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range list {
		u := s.units[list[i].Name]
		if u == nil {
			continue
		}
		r, out := u.sup.Status(), &list[i]
		out.State, out.PID, out.Since, out.Restarts, out.Next = string(r.State), r.PID, r.Since, r.Restarts, r.NextStart
		if r.LastExit != nil {
			out.LastExit = r.LastExit.String()
		}
		out.Error, out.Done = r.Err, r.Done()
		out.User = r.Confined.User
		out.Confined = nodeapi.Confined{
			Apart: r.Confined.Apart, Filter: r.Confined.Filter, Limits: r.Confined.Limits, Missing: r.Confined.Missing,
			Asked: u.inst.Spec.Words(),
		}
	}
}

// running returns the services that are kept up, by name.
func (s *services) running() map[string]*unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.units)
}
