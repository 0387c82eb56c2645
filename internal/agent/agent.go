package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"overland/internal/progress"
	storedir "overland/internal/store/dir"

	"overland/internal/agent/control"
	"overland/internal/agent/follow"
	"overland/internal/agent/node"
	"overland/internal/agent/stage"
	"overland/internal/agent/switchover"
	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/runtime"
	"overland/internal/trust/client"
)

// Options are the settings of an Agent. Runtimes and Platform are needed;
// everything else has a default.
type Options struct {
	Runtimes runtime.Set       // run the services, each by the runtime that it names
	Platform platform.Platform // of this machine; Platform.Runs is the order in which artifacts are taken

	FS        fsx.FS
	Clock     clock.Clock   // nil = the machine's
	BuildTime time.Time     // the lowest time that trust believes
	Log       *slog.Logger  // nil = nowhere
	Poll      time.Duration // between polls of a site, ± a quarter; 0 = 1 min
	Watch     time.Duration // between looks at watched directories; 0 = 5 s
	Progress  func(progress.Event)

	Version string        // of this agent, for people
	Self    digest.Digest // of this agent's program; "" = it never upgrades itself
	// Upgrade is called when the channel names another agent program. It lies at path,
	// verified, and stays there. An error is kept as the reason not to try this program again;
	// nil means that it took over or will.
	Upgrade func(ctx context.Context, path, version string, d digest.Digest) error

	// Ready is called once by Run, when the state is open, the services of the current generation
	// are started or adopted and the control socket answers; not after the self-tests of an
	// undecided switch. It proves a new agent program.
	Ready func()

	Boot func() (string, time.Duration) // nil = node.Boot
}

// Agent is the one agent of a node's directory. Its methods are safe for concurrent use; one
// changes the node at a time, the others wait for their turn.
//
// What it does is in packages of its own, each with a lock of its own that is never held while
// anything is waited for: follow finds a source, stage brings what it says onto the disk,
// switchover makes it run, control answers clients.
type Agent struct {
	dir      string
	o        Options
	node     *node.Node
	stager   *stage.Stager
	switcher *switchover.Switch
	follower *follow.Follower
	steps    *control.Steps
	turn     *turn
	hand     *handover

	running atomic.Bool // Run was called
	ready   sync.Once   // Options.Ready was called
}

// Open takes the lock of directory dir, makes what is missing and mends what a crash
// left. A running agent is errs.Conflict: ask it with control.Call. Nothing is
// started before Install or Run.
func Open(dir string, o Options) (*Agent, error) {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Progress == nil {
		o.Progress = func(progress.Event) {}
	}
	if len(o.Runtimes) == 0 || o.Platform == "" {
		return nil, errs.Errorf(errs.Internal, "open agent: no runtime or platform")
	}
	n, err := node.Open(dir, node.Options{FS: o.FS, Clock: o.Clock, Boot: o.Boot})
	if err != nil {
		return nil, err
	}
	a, err := assemble(n, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open agent: %w", err), n.Close())
	}
	for _, text := range n.Damage() {
		o.Log.Warn("the node's files were damaged", "reason", text)
	}
	n.LoadConfig()
	return a, nil
}

func assemble(n *node.Node, o Options) (*Agent, error) {
	depot, err := storedir.Open(filepath.Join(n.Dir(), "depot"), storedir.Options{FS: o.FS})
	if err != nil {
		return nil, err
	}
	trusted, err := client.Open(filepath.Join(n.Dir(), "trust"), client.Options{FS: o.FS, Clock: o.Clock, BuildTime: o.BuildTime})
	if err != nil {
		return nil, err
	}
	a := &Agent{dir: n.Dir(), o: o, node: n, steps: &control.Steps{}, turn: newTurn(), hand: newHandover()}
	self := o.Self
	if o.Upgrade == nil {
		self = ""
	}
	a.stager = stage.New(n, depot, trusted, stage.Options{
		FS: o.FS, Log: o.Log, Platform: o.Platform, Runtimes: o.Runtimes, Self: self, Progress: a.progress,
	})
	a.switcher = switchover.New(n, depot, switchover.Options{
		FS: o.FS, Log: o.Log, Runtimes: o.Runtimes, Progress: a.progress, Ready: a.tellReady, Yield: a.turn.yield,
		Freshness: a.stager.Freshness,
	})
	a.follower = follow.New(follow.Options{
		Node: n, Fetcher: a.stager.Fetcher(), Poll: o.Poll, Watch: o.Watch, Clock: o.Clock, Log: o.Log,
		Resume: a.resume, Resumed: a.resumed, Install: a.look,
		Trying: func() bool { return a.switcher.Trying() != 0 },
	})
	return a, nil
}

// Close ends the agent and frees the lock. Services go on running; the next agent adopts them.
func (a *Agent) Close() error {
	a.switcher.Detach()
	return a.node.Close()
}

// Alive returns when the agent can take its own locks, none of which is held while anything is
// waited for: an agent that hangs does not return.
func (a *Agent) Alive() {
	a.turn.alive()
	a.switcher.Fill(nil)
	a.switcher.Report()
	a.stager.Freshness()
	a.follower.Last()
	a.node.Problems()
}

func (a *Agent) progress(p progress.Event) {
	a.o.Progress(p)
	a.steps.Tell(p)
}

func (a *Agent) now() time.Time { return a.o.Clock.Or()() }

// History returns what happened to the node, oldest first.
func (a *Agent) History() []nodeapi.Event { return a.node.State().Events }
