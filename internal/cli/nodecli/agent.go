package nodecli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"overland/internal/agent"
	"overland/internal/agent/host"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/printer"
	"overland/internal/runtime"
	"overland/internal/runtime/process"
)

// Set by the linker: -X overland/internal/cli/nodecli.programVersion=r1.abc -X
// ….programTime=1790000000.
var (
	programVersion = "devel"
	programTime    = "" // Unix seconds of the commit: the lowest time that trust believes
)

// self returns the path of this program: the kernel's word, or, in a chroot without /proc, how it was
// called.
func self() (string, error) {
	path, err := os.Executable()
	if err != nil && strings.Contains(os.Args[0], "/") {
		return filepath.Abs(os.Args[0])
	}
	return path, err
}

func buildTime() time.Time {
	sec, err := strconv.ParseInt(programTime, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(sec, 0).UTC()
}

// agentOptions returns the options of this machine's agent; Self is the program that slots
// say is current, else this one.
func agentOptions(slots host.Slots) (agent.Options, error) {
	p, err := thisPlatform()
	if err != nil {
		return agent.Options{}, err
	}
	program := slots.GoodPath()
	if _, err := os.Stat(program); err != nil {
		if program, err = self(); err != nil {
			return agent.Options{}, fmt.Errorf("find this program: %w", err)
		}
	}
	self, err := host.Name(program)
	if err != nil {
		return agent.Options{}, fmt.Errorf("name this program: %w", err)
	}
	return agent.Options{
		Runtimes:  runtimes(process.New(process.Options{})),
		Platform:  p,
		BuildTime: buildTime(),
		Version:   programVersion,
		Self:      self,
	}, nil
}

// runtimes returns all that this agent has, by the word that a service's runtime key says.
func runtimes(services *process.Runtime) runtime.Set {
	return runtime.Set{runtime.ProcessWord: services}
}

// Limits of the agent's own memory: what it keeps is small, so it
// collects early instead of growing.
const (
	gcPercent   = 40
	memoryLimit = 14 << 20 // bytes; soft
)

var errSwitch = errors.New("a new version of the agent takes over")

// runAgent is the agent itself.
func runAgent(ctx context.Context, e env, c *call, _ []string) (int, error) {
	reporter := host.NewReporter()
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	slots := host.Slots{Dir: c.dir}
	o, err := agentOptions(slots)
	if err != nil {
		return 0, err
	}
	exe, err := self()
	if err != nil {
		return 0, fmt.Errorf("find this program: %w", err)
	}
	if o.Self, err = host.Name(exe); err != nil {
		return 0, fmt.Errorf("name this program: %w", err)
	}
	services := process.New(process.Options{})
	o.Runtimes = runtimes(services)
	o.Log = slog.New(slog.NewTextHandler(e.err, nil))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ready := make(chan struct{})
	o.Ready = func() {
		reporter.Ready()
		debug.FreeOSMemory()
		close(ready)
	}
	if reporter.Supervised() {
		o.Upgrade = func(ctx context.Context, path, version string, d digest.Digest) error {
			armed, err := slots.Upgrade(ctx, d, path)
			if armed {
				o.Log.Info("a new version of the agent takes over", "version", version, "digest", d)
				cancel(errSwitch)
			}
			return err
		}
	} else {
		o.Self = "" // nobody would start the new one
	}
	a, err := agent.Open(c.dir, o)
	if err != nil {
		return 0, err
	}
	for _, r := range slots.Versions().Refused {
		if r.Digest == "" {
			continue
		}
		// So that history tells it, and the channel is not asked for the same program again.
		if err := a.RefuseProgram(r.Digest, r.Reason); err != nil {
			o.Log.Warn("a refused version of the agent could not be noted", "digest", r.Digest, "error", err)
		}
	}
	defer background(ctx, func(ctx context.Context) {
		select {
		case <-ready:
			reporter.Beat(ctx, a.Alive)
		case <-ctx.Done():
		}
	})()
	first := os.Getpid() == 1
	if first { // not until ctx ends: services are stopped after that
		//nolint:errcheck // its only end is that of ctx
		defer background(context.WithoutCancel(ctx), func(ctx context.Context) { services.Reap(ctx) })()
	}
	err = a.Run(ctx)
	switch {
	case errors.Is(context.Cause(ctx), errSwitch):
		return host.ExitSwitch, a.Close()
	case ctx.Err() != nil:
		err = nil
		if c.stop || first { // the kernel would kill them all, without a word
			err = a.Stop(context.WithoutCancel(ctx))
		}
	}
	return 0, firstOf(err, a.Close())
}

// background runs f until the returned function is called, which waits for its end.
func background(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// supervise is the supervisor.
func supervise(ctx context.Context, e env, c *call, _ []string) (int, error) {
	// The supervisor does next to nothing, so its heap may be collected all the time.
	debug.SetGCPercent(10)
	args := []string{"run", "--state", c.dir}
	if c.stop || os.Getpid() == 1 {
		args = append(args, "--stop-services")
	}
	said := make(chan struct{})
	go func() {
		defer close(said)
		if !c.chatter {
			return
		}
		report, err := awaitOutcome(ctx, e, c.dir, 0, startTimeout)
		if report.Outcome != "" {
			_, err = finish(env{out: e.err, err: e.err}, c, report, err)
		}
		if err != nil && ctx.Err() == nil {
			complain(e, err)
		}
	}()
	s := host.Supervisor{Slots: host.Slots{Dir: c.dir}, Args: args, Log: slog.New(slog.NewTextHandler(e.err, nil))}
	err := s.Run(ctx)
	if err == nil || ctx.Err() != nil {
		<-said
	}
	return 0, err
}

func version(_ context.Context, e env, _ *call, _ []string) (int, error) {
	p, err := thisPlatform()
	if err != nil {
		return 0, err
	}
	printer.Fprintf(e.out, "%s %s %s\n", Program, programVersion, p)
	return 0, nil
}

func runHelp(_ context.Context, e env, c *call, args []string) (int, error) {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if !help(e.out, name) {
		return 0, noVerb(name)
	}
	return 0, nil
}

func firstOf(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// thisPlatform returns what this machine is.
func thisPlatform() (platform.Platform, error) {
	p, err := platform.Here()
	return p, errs.E(errs.Invalid, err)
}
