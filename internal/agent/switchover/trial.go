package switchover

import (
	"context"
	"fmt"

	"overland/internal/agent/node"
	"overland/internal/errs"
	"overland/internal/nodeapi"
)

// trial is a switch that is being decided. While its self-tests run, the right to change the node
// is free for others, who may End it.
type trial struct {
	generation int
	cancel     context.CancelFunc // ends the self-tests
	tested     chan struct{}      // closed when they, or the tasks, are over
	prepared   chan struct{}      // closed when the tasks are done
	decided    chan struct{}      // closed when report and err are set
	report     nodeapi.Report
	err        error

	ended string // why another request ended it; "" = it did not. Only the one who may change the node touches it
}

// Trying returns the generation whose self-tests run now, 0 for none.
func (s *Switch) Trying() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trial == nil {
		return 0
	}
	return s.trial.generation
}

// Await returns what becomes of the switch that is being decided now; at once when there is none.
// The caller must not hold the right to change the node, without which nothing is decided.
func (s *Switch) Await(ctx context.Context) (nodeapi.Report, error) {
	s.mu.Lock()
	t := s.trial
	s.mu.Unlock()
	if t == nil {
		return nodeapi.Report{}, nil
	}
	select {
	case <-t.decided:
		return t.report, t.err
	case <-ctx.Done():
		return nodeapi.Report{}, ctx.Err()
	}
}

// Decide ends the switch that the node's intent names: it starts the generation, proves it, and
// marks it good or goes back. When ctx ends first, nothing is decided and the next call goes on.
// During the self-tests others may change the node; when one of them ends the switch, the error is
// of kind errs.Cancelled.
func (s *Switch) Decide(ctx context.Context) (nodeapi.Report, error) {
	t := &trial{prepared: make(chan struct{}), decided: make(chan struct{})}
	defer close(t.decided)
	t.report, t.err = s.decide(ctx, t)
	s.mu.Lock()
	if s.trial == t {
		s.trial = nil
	}
	s.mu.Unlock()
	return t.report, t.err
}

// test is selfTest of the generation that t tries, while others may change the node. It reports
// whether one of them has ended the trial.
func (s *Switch) test(ctx context.Context, t *trial, proven instances) (tests []nodeapi.Test, v node.Verdict, ended error) {
	ended = s.during(ctx, t, func(ctx context.Context) { tests, v = s.selfTest(ctx, proven) })
	if ended != nil {
		return nil, v, ended
	}
	return tests, v, nil
}

// during calls f, a part of what t tries, while others may change the node. The error says that one of
// them has ended the trial.
func (s *Switch) during(ctx context.Context, t *trial, f func(context.Context)) (ended error) {
	ctx, t.cancel = context.WithCancel(ctx)
	defer t.cancel()
	t.tested = make(chan struct{})
	s.mu.Lock()
	s.trial = t
	s.mu.Unlock()
	again := s.o.Yield()
	f(ctx)
	close(t.tested)
	again()
	if t.ended != "" {
		return errs.Errorf(errs.Cancelled, "generation %d: the switch was ended: %s", t.generation, t.ended)
	}
	return nil
}

// awaitTasks waits until no task runs for the trial in progress: what is newer does not cut a migration
// short, as a person may. Meanwhile others may change the node.
func (s *Switch) awaitTasks(ctx context.Context) {
	s.mu.Lock()
	t := s.trial
	s.mu.Unlock()
	if t == nil {
		return
	}
	again := s.o.Yield()
	select {
	case <-t.prepared:
	case <-t.decided:
	case <-ctx.Done():
	}
	again()
}

// End leaves the generation that the node's intent names for the one before it, because of why. It
// is tried again when a channel names it, but not when it is refused. Without an intent it does
// nothing.
func (s *Switch) End(ctx context.Context, why string, refuse bool) error {
	i := s.node.State().Intent
	if i == nil {
		return nil
	}
	s.mu.Lock()
	t := s.trial
	s.trial = nil
	s.mu.Unlock()
	if t == nil && i.Failed == "" && !refuse && s.node.Abandon(why) == nil {
		return nil // it was never tried
	}
	if t != nil {
		t.ended = why
		t.cancel()
		<-t.tested
	}
	if _, _, _, err := s.leave(ctx, node.Verdict{Reason: why, Forgiven: !refuse}); err != nil {
		return fmt.Errorf("end the switch to generation %d: %w", i.Generation, err)
	}
	return nil
}
