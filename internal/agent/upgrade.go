package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"overland/internal/agent/node"
	"overland/internal/agent/stage"
	"overland/internal/digest"
	"overland/internal/nodeapi"
	"overland/internal/release"
)

// handover holds the agent program that lies ready.
type handover struct {
	resumed chan struct{} // closed when the services run: nothing is handed over before
	ready   chan struct{}

	allow sync.Once

	mu   sync.Mutex
	next *stage.Program
}

func newHandover() *handover {
	return &handover{resumed: make(chan struct{}), ready: make(chan struct{}, 1)}
}

// put makes p the program to hand over to, in place of another one.
func (h *handover) put(p *stage.Program) {
	h.mu.Lock()
	h.next = p
	h.mu.Unlock()
	select {
	case h.ready <- struct{}{}:
	default:
	}
}

func (h *handover) take() *stage.Program {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.next
	h.next = nil
	return p
}

// handOvers hands over to each program that lies ready, until ctx ends. Only Run calls it, and each
// takes its turn: the installation that brought the program is answered first.
func (a *Agent) handOvers(ctx context.Context) {
	select {
	case <-a.hand.resumed:
	case <-ctx.Done():
		return
	}
	for {
		select {
		case <-a.hand.ready:
			a.handOver(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (a *Agent) handOver(ctx context.Context) {
	done, err := a.turn.take(ctx)
	for err == nil && a.switcher.Trying() != 0 { // its self-tests are not to begin anew
		done()
		_, _ = a.switcher.Await(ctx) // what became of it is told elsewhere
		done, err = a.turn.take(ctx)
	}
	if err != nil {
		return
	}
	defer done()
	p := a.hand.take()
	if p == nil {
		return
	}
	// Before the call: it may never return, and the program that follows must not
	// try the same again when it fails.
	err = a.node.Update(func(s *node.State) {
		s.Agent = p.Release
		s.AddEvent(nodeapi.Event{At: a.now(), What: "upgraded", Apps: []string{release.AgentApp + "@" + p.Version}})
	})
	if err == nil {
		a.o.Log.Info("handing over to another agent program", "version", p.Version)
		err = a.o.Upgrade(ctx, p.Path, p.Version, p.Digest)
		if err != nil && ctx.Err() == nil {
			err = errors.Join(err, a.RefuseProgram(p.Digest, err.Error()))
		}
	}
	if err != nil && ctx.Err() == nil {
		a.node.Problem("agent", fmt.Sprintf("agent program %s was not taken: %v", p.Version, err))
		a.o.Log.Error("the agent program was not replaced", "error", err)
	}
}

// RefuseProgram remembers that the agent program d did not prove itself,
// so that it is not tried again.
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
