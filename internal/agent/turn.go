package agent

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// turn is the right to change the node: one holder at a time. A person's request does not wait for
// a look at a source that staging over a slow link holds up: it interrupts it.
type turn struct {
	token chan struct{}

	mu        sync.Mutex
	interrupt func() // ends the staging of the look that has the turn; nil when there is none
	found     bool   // that look is at something which stood in a watched folder
}

// foundTime is how long a look at what was found keeps a site waiting: whoever may put a file there
// may have it read as slowly as he likes.
const foundTime = time.Hour

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
	t.end(false)
	return t.take(ctx)
}

// end ends the staging of the look that has the turn; with found set, only of one at what was found.
func (t *turn) end(found bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.interrupt != nil && (t.found || !found) {
		t.interrupt()
	}
}

// yield gives the turn to others until again is called, which waits to have it back: its holder
// always returns it, even when the agent ends.
func (t *turn) yield() (again func()) {
	t.token <- struct{}{}
	return func() { <-t.token }
}

// takeLook is take for a look at a source, which was found or else is a site. A person's request ends
// staging, and so does a site that has waited for foundTime.
func (t *turn) takeLook(ctx context.Context, found bool) (staging context.Context, done func(), err error) {
	if !found {
		late := time.AfterFunc(foundTime, func() { t.end(true) })
		defer late.Stop()
	}
	back, err := t.take(ctx)
	if err != nil {
		return nil, nil, err
	}
	staging, cancel := context.WithCancel(ctx)
	t.set(cancel, found)
	return staging, func() {
		t.set(nil, false)
		cancel()
		back()
	}, nil
}

func (t *turn) set(interrupt func(), found bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interrupt, t.found = interrupt, found
}

// alive returns when the turn's own lock is free.
func (t *turn) alive() {
	t.mu.Lock()
	defer t.mu.Unlock()
}
