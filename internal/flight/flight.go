package flight

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrSlow is what WaitFor returns when its time is up. The call goes on.
var ErrSlow = errors.New("still under way")

// Work is what a call does. Its context ends when nobody waits any more, or with Group.Close.
type Work[V any] func(ctx context.Context, c *Call[V]) (V, error)

// Group is a set of calls, at most one of each key at a time. The zero value works; it is safe for
// concurrent use. A Group whose calls may outlive their waiters is ended with Close.
type Group[K comparable, V any] struct {
	mu     sync.Mutex
	calls  map[K]*Call[V]
	closed bool
	wg     sync.WaitGroup
}

// Call is one piece of work under way. It is safe for concurrent use.
type Call[V any] struct {
	mu     *sync.Mutex // the Group's
	remove func()      // takes the call out of its Group; mu is held
	cancel context.CancelFunc
	done   chan struct{} // closed when value and err are there
	ended  chan struct{} // closed when the work has returned

	// Guarded by mu.
	waiters   int
	kept      bool // it goes on without waiters
	cancelled bool
	delivered bool
	progress  int64
	heard     []func()
	shared    any

	value V // read after done
	err   error
}

// Do joins the call of key, or starts it with work, and returns its result. When ctx ends first,
// the error is the cause of that.
func (g *Group[K, V]) Do(ctx context.Context, key K, work Work[V]) (V, error) {
	c, _ := g.Join(ctx, key, work)
	return c.Wait(ctx)
}

// Join returns the call of key: one under way (joined), or a new one that runs work. The caller
// calls Wait or WaitFor on it, once.
func (g *Group[K, V]) Join(ctx context.Context, key K, work Work[V]) (c *Call[V], joined bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.calls[key]
	if before != nil && !before.cancelled {
		before.waiters++
		return before, true
	}
	c = &Call[V]{mu: &g.mu, waiters: 1, done: make(chan struct{}), ended: make(chan struct{})}
	c.remove = func() {
		if g.calls[key] == c {
			delete(g.calls, key)
		}
	}
	if g.closed {
		c.deliver(c.value, context.Canceled)
		close(c.ended)
		return c, false
	}
	if g.calls == nil {
		g.calls = map[K]*Call[V]{}
	}
	g.calls[key] = c
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	g.wg.Go(func() {
		defer close(c.ended)
		defer c.cancel()
		if before != nil {
			<-before.ended
		}
		c.Deliver(work(ctx, c))
	})
	return c, false
}

// Find returns the call of key that is under way, or nil. The caller does not wait for it.
func (g *Group[K, V]) Find(key K) *Call[V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.calls[key]; c != nil && !c.cancelled {
		return c
	}
	return nil
}

// Len returns how many calls are under way.
func (g *Group[K, V]) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.calls)
}

// Close cancels the calls that have not delivered, and waits until the work of all has returned. A
// call that is joined later fails with context.Canceled.
func (g *Group[K, V]) Close() {
	g.mu.Lock()
	g.closed = true
	for _, c := range g.calls {
		c.cancelled = true
		c.cancel()
	}
	g.mu.Unlock()
	g.wg.Wait()
}

// Wait returns the result. When ctx ends first the caller leaves, with
// the cause of that as the error.
func (c *Call[V]) Wait(ctx context.Context) (V, error) { return c.WaitFor(ctx, 0) }

// WaitFor is Wait for at most so long, 0 = for ever: then it returns ErrSlow, and the call goes on
// until Group.Close, for those who ask later.
func (c *Call[V]) WaitFor(ctx context.Context, most time.Duration) (V, error) {
	var late <-chan time.Time
	if most > 0 {
		timer := time.NewTimer(most)
		defer timer.Stop()
		late = timer.C
	}
	var none V
	select {
	case <-c.done:
		return c.value, c.err
	case <-late:
		c.Keep()
		c.leave()
		return none, ErrSlow
	case <-ctx.Done():
		c.leave()
		return none, context.Cause(ctx)
	}
}

// leave ends the work when nobody else wants it, and then waits for it.
func (c *Call[V]) leave() {
	c.mu.Lock()
	c.waiters--
	last := c.waiters == 0 && !c.kept && !c.delivered
	if last {
		c.cancelled = true
		c.cancel()
	}
	c.mu.Unlock()
	if last {
		<-c.ended
	}
}

// Keep lets the call go on when nobody waits for it any more, until Group.Close.
func (c *Call[V]) Keep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = true
}

// Deliver gives the waiters their result while the work goes on, with a context that only its
// return ends. A request from now on starts a new call. Only the first Deliver of a call counts,
// and what the work returns after it is dropped.
func (c *Call[V]) Deliver(value V, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deliver(value, err)
}

func (c *Call[V]) deliver(value V, err error) {
	if c.delivered {
		return
	}
	c.delivered = true
	c.value, c.err = value, err
	c.remove()
	close(c.done)
}

// Waiters returns how many callers wait for the result.
func (c *Call[V]) Waiters() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiters
}

// Progress returns how far the work is, in its own unit: a number that
// only rises. 0 = it has not said.
func (c *Call[V]) Progress() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.progress
}

// Add raises the progress by n.
func (c *Call[V]) Add(n int64) { c.raise(func() int64 { return c.progress + n }) }

// Reach raises the progress to n, unless it is there already.
func (c *Call[V]) Reach(n int64) { c.raise(func() int64 { return n }) }

func (c *Call[V]) raise(to func() int64) {
	c.mu.Lock()
	n := to()
	if n <= c.progress {
		c.mu.Unlock()
		return
	}
	c.progress = n
	heard := c.heard
	c.mu.Unlock()
	for _, f := range heard {
		f()
	}
}

// Share gives the waiters v before there is a result. Listeners are told.
func (c *Call[V]) Share(v any) {
	c.mu.Lock()
	c.shared = v
	heard := c.heard
	c.mu.Unlock()
	for _, f := range heard {
		f()
	}
}

// Shared returns what Share was called with; nil before that.
func (c *Call[V]) Shared() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shared
}

// Listen calls heard, from other goroutines, each time that the progress rises, and for Share.
func (c *Call[V]) Listen(heard func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard[:len(c.heard):len(c.heard)], heard)
}
