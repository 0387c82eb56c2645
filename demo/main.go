package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"overland/demo/proof"
	"overland/internal/testkit/machine"
)

func main() {
	machine.Init()
	keep := flag.Bool("keep", false, "leave .demo behind to look at")
	full := flag.Bool("full", false, "also record, seal and rebuild an application from one file, with npm and Debian packages")
	platforms := flag.String("platforms", "", "build the server for these alone, as linux/amd64,linux/arm/v6 (default: all five)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{full: *full, platforms: *platforms, show: newShow(os.Stdout)}
	err := errors.Join(
		absolute(&d.dir, ".demo"), absolute(&d.compiled, ".cache", "demo"), absolute(&d.overland, "bin", "overland"))
	if err == nil {
		err = d.run(ctx)
		d.cleanUp(*keep)
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "\nstopped; everything that the demo started is gone")
		os.Exit(130)
	case err != nil:
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

// absolute sets path to that of a file of the current folder.
func absolute(path *string, below ...string) (err error) {
	*path, err = filepath.Abs(filepath.Join(below...))
	return err
}

// demo is one run: where its files are, and the machines that are up.
type demo struct {
	full        bool
	platforms   string // of the server; "" = all
	dir         string
	compiled    string // where compiled packages stay between runs
	overland    string // the operator's program
	fingerprint string
	show        *show
	hosts       []*host
}

type step struct {
	title string
	do    func(context.Context) error
}

func (d *demo) run(ctx context.Context) error {
	began := time.Now()
	steps := []step{
		{"look for what the demo needs", d.prepare},
		{"make a git repository of a real server at two real versions, and a broken third", d.makeRepository},
		{"build " + version1 + " for " + cmp.Or(d.platforms, "five platforms") + ", from its commit", d.build},
		{"make the keys and the root of trust", d.trust},
		{"release it, promote it: staging, then live", func(ctx context.Context) error { return d.release(ctx, "v1") }},
		{"seal one file that holds everything", func(ctx context.Context) error { return d.seal(ctx, "v1") }},
		{"start three machines with no route anywhere", d.startMachines},
		{"install on each from the one file", func(ctx context.Context) error { return d.install(ctx, "v1", version1) }},
		{"release and seal " + version2, func(ctx context.Context) error { return d.next(ctx, "v2") }},
		{"upgrade each from the second file", func(ctx context.Context) error { return d.install(ctx, "v2", version2) }},
		{"release and seal a version that dies a second after its start", func(ctx context.Context) error { return d.next(ctx, "v3") }},
		{"offer it: each machine refuses it, and still serves " + version2, d.offerBroken},
	}
	if d.full {
		for _, s := range d.proof() {
			steps = append(steps, step{s.Title, s.Do})
		}
	}
	for i, s := range steps {
		if err := d.show.step(i+1, len(steps), s.title, func() error { return s.do(ctx) }); err != nil {
			return err
		}
	}
	d.closingTable(ctx, time.Since(began))
	return ctx.Err()
}

func (d *demo) prepare(context.Context) error {
	if err := machine.Supported(); err != nil {
		return err
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return err
	}
	if _, err := os.Stat(d.overland); err != nil {
		return fmt.Errorf("%w: run it with: make demo", err)
	}
	for _, dir := range []string{filepath.Join(d.dir, "volumes"), filepath.Join(d.dir, "proof"), d.compiled} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	who := "root"
	if os.Geteuid() != 0 {
		who = "an ordinary user, with user namespaces"
	}
	d.show.line("running as %s; all files are below %s", who, d.dir)
	return nil
}

// proof returns the steps of --full.
func (d *demo) proof() []proof.Step {
	return proof.Steps(proof.Options{
		Dir: filepath.Join(d.dir, "proof"), Overland: d.overland, Compiled: d.compiled,
		Teahouse: filepath.Join("demo", "proof", "testdata", "teahouse"),
		Command:  d.show.command, Line: func(text string) { d.show.line("%s", text) }, Output: d.show.child(),
	})
}

func (d *demo) cleanUp(keep bool) {
	for _, h := range d.hosts {
		h.Stop()
	}
	if !keep {
		_ = os.RemoveAll(d.dir)
	}
}
