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
	// floor returns the environment of a tool that has the least way to the same bytes: after a direct run with its
	// caches, and a recording in home.
	floor func(caches, empty, home string) ([]string, error)
	clean func() error // before each run
}

// way is one way to run a project.
type way struct {
	name string
	runs []cost
}

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

func (b *bench) compare(ctx context.Context, p *project) error {
	direct, recorded, replayed, floor := &way{name: "direct"}, &way{name: "recorded"}, &way{name: "replayed"}, &way{name: "floor"}
	for range b.rounds {
		if err := b.round(ctx, p, direct, recorded, replayed, floor); err != nil {
			return err
		}
	}
	b.table.add(p.name+": direct", "%s", "", direct)
	b.table.add(p.name+": recorded", "%s; wall %s", "≤ 1.10 × direct", recorded, recorded.against(direct))
	b.table.add(p.name+": replayed, warm; no misses", "%s; %s faster", "≥ 1.5 × faster than direct", replayed, direct.against(replayed))
	b.table.add("floor: the tool alone, from local files", "%s; %s faster", "", floor, direct.against(floor))
	return nil
}

// round runs p once each way, with everything from before on the disk and out of the way.
func (b *bench) round(ctx context.Context, p *project, direct, recorded, replayed, floor *way) error {
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
	steps := []struct {
		way  *way
		args []string
		env  []string
	}{
		{direct, []string{"sh", "-c", p.script}, env},
		{recorded, session("record"), nil},
		{replayed, session("replay"), nil},
		{floor, []string{"sh", "-c", p.script}, nil},
	}
	for _, s := range steps {
		if s.way == floor {
			if s.env, err = p.floor(caches, empty, home); err != nil {
				return err
			}
		}
		if p.clean != nil {
			if err := p.clean(); err != nil {
				return err
			}
		}
		if err := settled(ctx, home); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, s.args[0], s.args[1:]...)
		cmd.Dir, cmd.Env = p.dir, append(os.Environ(), s.env...)
		c, err := measure(cmd)
		if err != nil {
			return fmt.Errorf("%s: %w", s.way.name, err)
		}
		fmt.Fprintf(os.Stderr, "  %s, %s: %.2f s, %.2f CPU-s\n", p.name, s.way.name, c.wall.Seconds(), c.cpu.Seconds())
		s.way.runs = append(s.way.runs, c)
	}
	return nil
}

// settled waits until what was written is on the disk, and until the caches of sessions in home are gone.
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

func (w *way) sorted(of func(cost) time.Duration) []float64 {
	var list []float64
	for _, c := range w.runs {
		list = append(list, of(c).Seconds())
	}
	slices.Sort(list)
	return list
}

func (w *way) String() string {
	wall, cpu := w.sorted(func(c cost) time.Duration { return c.wall }), w.sorted(func(c cost) time.Duration { return c.cpu })
	return fmt.Sprintf("%.2f s (median %.2f), %.2f CPU-s (median %.2f)", wall[0], wall[len(wall)/2], cpu[0], cpu[len(cpu)/2])
}

// against returns how many times the wall-clock time of o that of w is: of the best runs, and of the median ones.
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
