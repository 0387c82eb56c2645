package agent

import (
	"context"
	"fmt"
	"sync"
)

// turn is the right to change the node: one holder at a time. A person's request does not wait for
// a look at a source that staging over a slow link holds up: it interrupts it.
type turn struct {
	token chan struct{}

	mu        sync.Mutex
	interrupt func() // ends the staging of the look that has the turn; nil when there is none
}

func newTurn() *turn {
	t := &turn{token: make(chan struct{}, 1)}
	t.token <- struct{}{}
	return t
}

// take waits for the turn; the caller calls done to give it back.
func (t *turn) take(ctx context.Context) (done func(), err error) {
	select {
	case <-t.token:
		return func() { t.token <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the node: %w", ctx.Err())
	}
}

// takeNow is take for a person: a look in progress ends its staging first. What it fetched stays.
func (t *turn) takeNow(ctx context.Context) (done func(), err error) {
	t.mu.Lock()
	if t.interrupt != nil {
		t.interrupt()
	}
	t.mu.Unlock()
	return t.take(ctx)
}

// yield gives the turn to others until again is called, which waits to have it back: its holder
// always returns it, even when the agent ends.
func (t *turn) yield() (again func()) {
	t.token <- struct{}{}
	return func() { <-t.token }
}

// takeLook is take for a look at a source. A person's request ends staging.
func (t *turn) takeLook(ctx context.Context) (staging context.Context, done func(), err error) {
	back, err := t.take(ctx)
	if err != nil {
		return nil, nil, err
	}
	staging, cancel := context.WithCancel(ctx)
	t.set(cancel)
	return staging, func() {
		t.set(nil)
		cancel()
		back()
	}, nil
}

func (t *turn) set(interrupt func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interrupt = interrupt
}

func (t *turn) alive() { t.set(t.get()) }

func (t *turn) get() func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.interrupt
}
