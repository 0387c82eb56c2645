package process

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"overland/internal/confine"
	"overland/internal/errs"
	"overland/internal/procfs"
	"overland/internal/runtime"
)

// Exec implements runtime.Execer. argv[0] is a path or is looked up in PATH.
func (r *Runtime) Exec(ctx context.Context, i runtime.Instance, argv []string, out io.Writer) (runtime.Exit, error) {
	if len(argv) == 0 {
		return runtime.Exit{}, errs.Errorf(errs.Invalid, "exec: no program")
	}
	u, err := serviceUser(i)
	if err != nil {
		return runtime.Exit{}, err
	}
	i.Dir = cmp.Or(i.Dir, "/")
	s, err := spec(i, u)
	if err != nil {
		return runtime.Exit{}, err
	}
	run := "exec-" + rand.Text()
	if s.Path, err = lookPath(argv[0]); err != nil {
		return runtime.Exit{}, fmt.Errorf("exec %s: %w", argv[0], err)
	}
	s.Args, s.Stdout, s.Stderr = argv, out, out
	s.Env = append([]string{runVar + "=" + run + " " + i.Record}, s.Env...)
	if rec, ok := readRecord(i.Record); ok && rec.Group != "" && rec.alive() {
		s.Group = confine.FindGroup(rec.Group)
	}
	e, err := r.check(ctx, i, s)
	switch {
	case ctx.Err() != nil:
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		end(func() []procfs.Process { return ofRun(run) }, last.Done())
		return runtime.Exit{}, ctx.Err()
	case err != nil:
		return runtime.Exit{}, fmt.Errorf("exec %s: %w", argv[0], err)
	}
	return e, nil
}

// check runs what s says as apart from the machine as the service i is.
func (r *Runtime) check(ctx context.Context, i runtime.Instance, s confine.Spec) (runtime.Exit, error) {
	p, err := confine.Start(ctx, s)
	for err != nil {
		if less, _ := yield(&s, i, err); !less {
			break
		}
		p, err = confine.Start(ctx, s)
	}
	if err != nil {
		return runtime.Exit{}, err
	}
	x, err := p.Wait()
	e := exitOf(x, time.Now())
	if limit := (*confine.LimitError)(nil); errors.As(err, &limit) {
		e.Limit, err = limit.Error(), nil
	}
	return e, err
}

// lookPath returns the path of the program name: the agent's own PATH does not count.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, runnable(name)
	}
	for _, dir := range strings.Split(searchPath, ":") {
		if path := filepath.Join(dir, name); runnable(path) == nil {
			return path, nil
		}
	}
	return "", errs.Errorf(errs.NotFound, "no such program in %s", searchPath)
}

// ofRun returns the living processes that carry the mark of the run.
func ofRun(run string) []procfs.Process {
	var list []procfs.Process
	_ = procfs.Each(func(s procfs.Process) {
		if value, ok := environ(s.PID, runVar); ok && !s.Dead() && strings.HasPrefix(value, run+" ") {
			list = append(list, s)
		}
	})
	return list
}
