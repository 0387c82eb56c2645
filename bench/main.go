package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"

	"overland/internal/testkit/machine"
)

func main() {
	machine.Init()
	size := flag.Int64("mib", 1024, "size of the volume in MiB")
	dir := flag.String("dir", "", "where to work; needs four times the size (default: a disk of its own in a file)")
	only := flag.String("only", "", "measure only what has a name that matches this regular expression")
	rounds := flag.Int("rounds", 3, "how often what is compared is repeated")
	mbit := flag.Int64("mbit", 10, "what the slow link carries, in Mbit/s")
	projects := flag.String("kinds", "", "of the kinds of projects, only those with a name that matches this regular expression")
	limit := flag.Duration("limit", time.Hour, "how long one measurement may take before its programs are ended")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *size<<20, *only, &bench{rounds: *rounds, mbit: *mbit, projects: *projects, limit: *limit}); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// bench is one run: its folder, its programs, and the rows measured so far.
type bench struct {
	dir      string
	overland string
	agents   string
	rounds   int    // how often each of two rivals runs, in turns
	mbit     int64  // Mbit/s of the slow link
	projects string // which kinds are measured: a regular expression
	limit    time.Duration
	table    table
}

func run(ctx context.Context, dir string, size int64, only string, b *bench) (err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if dir == "" {
		var free func() error
		if dir, free, err = ownDisk(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, free()) }()
	}
	if err := os.Setenv("TMPDIR", dir); err != nil { // also for the programs that are measured
		return err
	}
	bin, err := filepath.Abs("bin")
	if err != nil {
		return err
	}
	b.dir, b.overland, b.agents = dir, filepath.Join(bin, "overland"), filepath.Join(bin, "agents")
	defer b.table.print(os.Stdout)
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"the agent program", b.agentSize},
		{"rebuild of an unchanged commit", b.rebuild},
		{"files that a promotion opens", b.promotion},
		{"seal, verify and install", func(ctx context.Context) error { return b.volume(ctx, size) }},
		{"from the volume to a tested service", b.start},
		{"recording and replaying apt", func(ctx context.Context) error { return b.record(ctx, b.debs) }},
		{"recording and replaying apt, installed", func(ctx context.Context) error { return b.record(ctx, b.installed) }},
		{"recording and replaying npm", func(ctx context.Context) error { return b.record(ctx, b.packages) }},
		{"recording and replaying go", func(ctx context.Context) error { return b.record(ctx, b.modules) }},
		{"recording over a slow link, apt", func(ctx context.Context) error { return b.recordOver(ctx, b.installed) }},
		{"recording over a slow link, npm", func(ctx context.Context) error { return b.recordOver(ctx, b.packages) }},
		{"recording over a slow link, go", func(ctx context.Context) error { return b.recordOver(ctx, b.modules) }},
		{"images, beside ko", b.images},
		{"a registry, beside distribution", func(ctx context.Context) error { return b.registry(ctx, size) }},
		{"root file systems, beside mmdebstrap", b.rootfs},
		{"flow: first bytes and bad links", b.flow},
		{"kinds of projects, recorded and replayed elsewhere", b.kinds},
		{"cached blobs", b.serve},
		{"apt through a cache", b.aptCaches},
		{"a thousand transfers", b.transfers},
		{"crashes and power cuts", b.crash},
	}
	for _, s := range steps {
		if !wanted.MatchString(s.name) {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring:", s.name)
		if err := within(ctx, b.limit, s.do); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// within runs do, whose programs end when it takes longer than limit: one that waits for nothing holds up the rest.
func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	err := do(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}
