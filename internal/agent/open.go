package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"overland/internal/agent/node"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	storedir "overland/internal/store/dir"
	"overland/internal/trust/client"
)

// The keys of log lines.
const (
	keyGeneration = "generation"
	keySource     = "source"
	keyError      = "error"
	keyService    = "service"
	keyReason     = "reason"
)

// Agent is the one agent of a node's directory. Its methods are safe for concurrent use; one changes the node at a
// time, the others wait.
type Agent struct {
	dir   string
	o     Options
	node  *node.Node
	depot *storedir.Store
	trust *client.Client

	turn chan struct{} // holds one token: who has it may change the node
	wake chan struct{} // look at every source now
	hand chan struct{} // an agent program lies ready

	mu        sync.Mutex
	units     map[string]*unit
	listeners []*listener
	problems  map[string]string        // by subject
	names     map[digest.Digest]string // of the blobs that are fetched now, for people
	fresh     nodeapi.Freshness
	last      *nodeapi.Look
	report    *nodeapi.Report
	resumed   bool // the services of the current generation are supervised
	running   bool
	told      bool     // Ready was called
	next      *program // the agent program to hand over to
	abort     func()   // ends the staging of a look in progress; nil when there is none
}

// Open takes the lock of directory dir, makes what is missing and mends what a crash left. A running agent is
// errs.Conflict: ask it with Call. Nothing is started before Install or Run.
func Open(dir string, o Options) (*Agent, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Poll <= 0 {
		o.Poll = time.Minute
	}
	if o.Watch <= 0 {
		o.Watch = 5 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(nodeapi.Progress) {}
	}
	if len(o.Runtimes) == 0 || o.Platform == "" {
		return nil, errs.Errorf(errs.Internal, "open agent: no runtime or platform")
	}
	n, err := node.Open(dir, node.Options{FS: o.FS, Clock: o.Clock, Boot: o.Boot})
	if err != nil {
		return nil, err
	}
	a := &Agent{
		dir: n.Dir(), o: o, node: n, units: map[string]*unit{}, problems: map[string]string{}, names: map[digest.Digest]string{},
		turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), hand: make(chan struct{}, 1),
	}
	a.turn <- struct{}{}
	if a.depot, err = storedir.Open(filepath.Join(a.dir, "depot"), storedir.Options{FS: o.FS}); err != nil {
		return nil, errors.Join(fmt.Errorf("open agent: %w", err), n.Close())
	}
	a.trust, err = client.Open(filepath.Join(a.dir, "trust"), client.Options{FS: o.FS, Clock: o.Clock, BuildTime: o.BuildTime})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open agent: %w", err), n.Close())
	}
	for i, p := range n.Problems() {
		a.problems[fmt.Sprintf("state %d", i)] = p
		o.Log.Warn("the node's files were damaged", keyReason, p)
	}
	a.loadConfig()
	return a, nil
}

// Close ends the agent and frees the lock. Services go on running; the next agent adopts them.
func (a *Agent) Close() error {
	a.detach()
	return a.node.Close()
}

// take waits for the right to change the node; the caller calls the returned function to give it back.
func (a *Agent) take(ctx context.Context) (release func(), err error) {
	select {
	case <-a.turn:
		return func() { a.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the node: %w", ctx.Err())
	}
}

// Alive returns when the agent can take its own lock, which is never held while it waits for anything: an agent that
// hangs does not return.
func (a *Agent) Alive() {
	a.mu.Lock()
	defer a.mu.Unlock()
}

// problem notes what is wrong with subject, for the status; "" forgets it.
func (a *Agent) problem(subject, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if text == "" {
		delete(a.problems, subject)
		return
	}
	a.problems[subject] = text
}

// RefuseProgram remembers that the agent program d did not prove itself, so that it is not tried again.
func (a *Agent) RefuseProgram(d digest.Digest, reason string) error {
	return a.node.Update(func(s *node.State) {
		for _, p := range s.Programs {
			if p.Digest == d {
				return
			}
		}
		s.Programs = append(s.Programs, node.Candidate{Digest: d, Reason: reason})
		if n := len(s.Programs) - 20; n > 0 {
			s.Programs = s.Programs[n:]
		}
		s.AddEvent(nodeapi.Event{At: a.now(), What: "back", Reason: "agent program " + d.String() + ": " + reason})
	})
}

func (a *Agent) now() time.Time { return a.o.Clock.Or()() }

// History returns what happened to the node, oldest first.
func (a *Agent) History() []nodeapi.Event { return a.node.State().Events }
