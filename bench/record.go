package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// project is something that is fetched three ways: by its tool as it is, recorded, and replayed.
type project struct {
	name   string
	script string // of sh, in dir
	dir    string
	// direct returns the environment, NAME=VALUE, of a tool with empty caches in dir.
	direct func(caches string) ([]string, error)
	// floor returns the environment of a tool that has the least way to the same bytes: after a
	// direct run with its caches, and a recording in home.
	floor func(caches, empty, home string) ([]string, error) // nil = it is not measured
	clean func(context.Context) error                        // before each run
	env   []string                                           // NAME=VALUE, of every way
}

// way is one way to run a project.
type way struct{ runs []cost }

// record measures, in turns, what recording a project costs and what a replay of it saves.
func (b *bench) record(ctx context.Context, prepare func(context.Context) (*project, error)) error {
	p, err := prepare(ctx)
	if err != nil {
		return err
	}
	if err := b.compare(ctx, p); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// recordOver measures the same over a slow link, once: it decides how long that takes.
func (b *bench) recordOver(ctx context.Context, prepare func(context.Context) (*project, error)) error {
	p, err := prepare(ctx)
	if err != nil {
		return err
	}
	k, err := slowLink(ctx, b.mbit)
	if err != nil {
		return err
	}
	defer k.close()
	p.name += fmt.Sprintf(", over %d Mbit/s", b.mbit)
	p.env, p.floor = k.env(), nil
	var w ways
	if err := b.round(ctx, p, &w); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	b.ways(p, &w)
	return nil
}

// ways are the ways to run a project.
type ways struct{ direct, recorded, replayed, floor way }

func (b *bench) compare(ctx context.Context, p *project) error {
	if err := b.warmUp(ctx, p); err != nil {
		return err
	}
	var w ways
	for range b.rounds {
		if err := b.round(ctx, p, &w); err != nil {
			return err
		}
	}
	b.ways(p, &w)
	return nil
}

// warmUp runs p once and forgets it: the first run of all finds the memory and the disk
// otherwise than all that follow.
func (b *bench) warmUp(ctx context.Context, p *project) error {
	dir, err := os.MkdirTemp(b.dir, "warm-up-")
	if err != nil {
		return err
	}
	defer func() { _ = exec.CommandContext(ctx, "rm", "-rf", dir).Run() }()
	env, err := p.direct(dir)
	if err != nil {
		return err
	}
	return b.step(ctx, p, dir, "not counted", &way{}, []string{"sh", "-c", p.script}, env)
}

// ways adds the rows of p.
func (b *bench) ways(p *project, w *ways) {
	b.table.add(p.name+": direct", "%s", "", &w.direct)
	b.table.add(p.name+": recorded", "%s; wall %s", "≤ 1.10 × direct", &w.recorded, w.recorded.against(&w.direct))
	b.table.add(p.name+": replayed, warm; no misses", "%s; %s faster", "≥ 1.5 × faster than direct", &w.replayed, w.direct.against(&w.replayed))
	if p.floor != nil {
		b.table.add("floor: the tool alone, from local files", "%s; %s faster", "", &w.floor, w.direct.against(&w.floor))
	}
}

// round runs p once each way, with everything from before on the disk and out of the way.
func (b *bench) round(ctx context.Context, p *project, w *ways) error {
	dir, err := os.MkdirTemp(b.dir, "round-")
	if err != nil {
		return err
	}
	defer func() { _ = exec.CommandContext(ctx, "rm", "-rf", dir).Run() }()
	home, caches, empty := filepath.Join(dir, "home"), filepath.Join(dir, "caches"), filepath.Join(dir, "empty")
	lock := filepath.Join(dir, "overland.lock")
	env, err := p.direct(caches)
	if err != nil {
		return err
	}
	session := func(verb string) []string {
		return []string{b.overland, "--home", home, "--quiet", verb, "--lock", lock, "--", "sh", "-c", p.script}
	}
	alone := []string{"sh", "-c", p.script}
	if err := b.step(ctx, p, home, "direct", &w.direct, alone, env); err != nil {
		return err
	}
	if err := b.step(ctx, p, home, "recorded", &w.recorded, session("record"), nil); err != nil {
		return err
	}
	if err := b.step(ctx, p, home, "replayed", &w.replayed, session("replay"), nil); err != nil {
		return err
	}
	if p.floor == nil {
		return nil
	}
	if env, err = p.floor(caches, empty, home); err != nil {
		return err
	}
	return b.step(ctx, p, home, "floor", &w.floor, alone, env)
}

// step measures one way.
func (b *bench) step(ctx context.Context, p *project, home, name string, w *way, args, env []string) error {
	if p.clean != nil {
		if err := p.clean(ctx); err != nil {
			return err
		}
	}
	if err := settled(ctx, home); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = p.dir, slices.Concat(os.Environ(), p.env, env)
	c, err := measure(cmd)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(os.Stderr, "  %s, %s: %.2f s, %.2f CPU-s\n", p.name, name, c.wall.Seconds(), c.cpu.Seconds())
	w.runs = append(w.runs, c)
	return nil
}

// settled waits until what was written is on the disk, and until the
// caches of sessions in home are gone.
func settled(ctx context.Context, home string) error {
	for {
		old, err := filepath.Glob(filepath.Join(home, "cache", "record", "*.old-*"))
		if err != nil {
			return err
		}
		if len(old) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	unix.Sync()
	return nil
}

func cpuOf(c cost) time.Duration { return c.cpu }

func (w *way) sorted(of func(cost) time.Duration) []float64 {
	var list []float64
	for _, c := range w.runs {
		list = append(list, of(c).Seconds())
	}
	slices.Sort(list)
	return list
}

func (w *way) String() string {
	wall, cpu := w.sorted(func(c cost) time.Duration { return c.wall }), w.sorted(cpuOf)
	return fmt.Sprintf("%.2f s (median %.2f), %.2f CPU-s (median %.2f)", wall[0], wall[len(wall)/2], cpu[0], cpu[len(cpu)/2])
}

// against returns how many times the wall-clock time of o that of w is: of the
// best runs, and of the median ones.
func (w *way) against(o *way) string {
	wall := func(c cost) time.Duration { return c.wall }
	a, c := w.sorted(wall), o.sorted(wall)
	return fmt.Sprintf("%.2f × (median %.2f ×)", a[0]/c[0], a[len(a)/2]/c[len(c)/2])
}

// output returns what a command prints, with its errors.
func output(ctx context.Context, dir, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", script, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
