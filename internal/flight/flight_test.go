package flight_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/flight"
)

// group is what the tests use: each work counts itself and ends when it is told to, or cancelled.
type group struct {
	flight.Group[string, int]
	runs atomic.Int64
	now  atomic.Int64 // running
	end  chan int
}

func newGroup() *group { return &group{end: make(chan int)} }

func (g *group) work(ctx context.Context, _ *flight.Call[int]) (int, error) {
	g.runs.Add(1)
	defer g.now.Add(-1)
	if g.now.Add(1) > 1 {
		panic("two calls of one key at once")
	}
	select {
	case n := <-g.end:
		return n, nil
	case <-ctx.Done():
		<-time.After(time.Second) // unwinding takes a moment
		return 0, ctx.Err()
	}
}

func TestOneCallForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if n, err := g.Do(t.Context(), "k", g.work); n != 7 || err != nil {
					t.Errorf("got %d, %v", n, err)
				}
			})
		}
		synctest.Wait()
		if g.runs.Load() != 1 || g.Len() != 1 || g.Find("k") == nil || g.Find("x") != nil {
			t.Errorf("%d runs, %d calls", g.runs.Load(), g.Len())
		}
		g.end <- 7
		wg.Wait()
		if g.Len() != 0 {
			t.Error("a call that ended is still there")
		}
		g.Close()
	})
}

// The first caller leaves, the call goes on for the others; the last one
// ends it, and returns after it.
func TestTheLastOneEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup()
		gone := errors.New("gone")
		first, leave := context.WithCancelCause(t.Context())
		second, leaveToo := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		for _, ctx := range []context.Context{first, second} {
			wg.Go(func() {
				if _, err := g.Do(ctx, "k", g.work); !errors.Is(err, gone) {
					t.Errorf("got %v", err)
				}
			})
			synctest.Wait()
		}
		leave(gone)
		synctest.Wait()
		if g.now.Load() != 1 {
			t.Fatal("it ended with its first caller")
		}
		began := time.Now()
		leaveToo(gone)
		wg.Wait()
		if g.now.Load() != 0 || time.Since(began) < time.Second {
			t.Error("the last one returned before the work")
		}
	})
}

// Who asks while a cancelled call unwinds gets a new one, which starts when the old one has ended.
func TestCallsOfOneKeyDoNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup()
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = g.Do(ctx, "k", g.work) })
		synctest.Wait()
		leave()
		synctest.Wait()
		wg.Go(func() {
			if n, err := g.Do(t.Context(), "k", g.work); n != 3 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		})
		g.end <- 3
		wg.Wait()
		if g.runs.Load() != 2 {
			t.Errorf("%d runs", g.runs.Load())
		}
	})
}

func TestWaitForLeavesItRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup()
		c, joined := g.Join(t.Context(), "k", g.work)
		if joined {
			t.Error("joined what nobody began")
		}
		if _, err := c.WaitFor(t.Context(), time.Minute); !errors.Is(err, flight.ErrSlow) {
			t.Errorf("got %v", err)
		}
		c, joined = g.Join(t.Context(), "k", g.work)
		if !joined {
			t.Error("the call did not go on")
		}
		go func() { g.end <- 5 }()
		if n, err := c.WaitFor(t.Context(), time.Minute); n != 5 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		// What nobody waits for ends with Close.
		c, _ = g.Join(t.Context(), "k", g.work)
		_, _ = c.WaitFor(t.Context(), time.Minute)
		g.Close()
		if g.now.Load() != 0 {
			t.Error("Close left it running")
		}
		if _, err := g.Do(t.Context(), "k", g.work); !errors.Is(err, context.Canceled) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestDeliverBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flight.Group[string, int]
		var after atomic.Bool
		n, err := g.Do(t.Context(), "k", func(ctx context.Context, c *flight.Call[int]) (int, error) {
			c.Deliver(1, nil)
			<-time.After(time.Minute)
			after.Store(ctx.Err() == nil)
			return 2, errors.New("dropped")
		})
		if n != 1 || err != nil || g.Len() != 0 || after.Load() {
			t.Errorf("got %d, %v, %d calls, after %v", n, err, g.Len(), after.Load())
		}
		g.Close()
		if !after.Load() {
			t.Error("Close did not wait for the work, or cancelled it")
		}
	})
}

func TestProgressRises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flight.Group[string, int]
		step := make(chan func(c *flight.Call[int]))
		c, _ := g.Join(t.Context(), "k", func(_ context.Context, c *flight.Call[int]) (int, error) {
			for do := range step {
				do(c)
			}
			return 0, nil
		})
		heard := 0
		c.Listen(func() { heard++ })
		for _, do := range []func(*flight.Call[int]){
			func(c *flight.Call[int]) { c.Add(3) },
			func(c *flight.Call[int]) { c.Reach(2) },
			func(c *flight.Call[int]) { c.Add(-1) },
			func(c *flight.Call[int]) { c.Reach(9) },
			func(c *flight.Call[int]) { c.Reach(9) },
			func(c *flight.Call[int]) { c.Add(0) },
		} {
			step <- do
		}
		close(step)
		_, _ = c.Wait(t.Context())
		if c.Progress() != 9 || heard != 2 {
			t.Errorf("progress %d, heard %d times", c.Progress(), heard)
		}
	})
}

// A cancelled call is not found while it unwinds, and its end does not take away the
// call that has taken its place.
func TestAnEndedCallLeavesItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup()
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = g.Do(ctx, "k", g.work) })
		synctest.Wait()
		leave()
		synctest.Wait()
		if g.now.Load() != 1 || g.Find("k") != nil {
			t.Fatal("it has ended already, or is still offered")
		}
		second, joined := g.Join(t.Context(), "k", g.work)
		if joined {
			t.Fatal("joined what was cancelled")
		}
		wg.Wait() // the first one has ended
		third, joined := g.Join(t.Context(), "k", g.work)
		if !joined || g.Find("k") == nil {
			t.Error("the first call took the second one with it")
		}
		g.end <- 3
		for _, c := range []*flight.Call[int]{second, third} {
			if n, err := c.Wait(t.Context()); n != 3 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		}
	})
}

// What Close cancels is neither found nor joined while it unwinds.
func TestNobodyJoinsWhatCloseCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup()
		c, _ := g.Join(t.Context(), "k", g.work)
		var wg sync.WaitGroup
		wg.Go(g.Close)
		synctest.Wait()
		if g.now.Load() != 1 {
			t.Fatal("it has ended already")
		}
		if g.Find("k") != nil {
			t.Error("a cancelled call is found")
		}
		if late, joined := g.Join(t.Context(), "k", g.work); joined {
			t.Error("a cancelled call is joined")
		} else if _, err := late.Wait(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		_, _ = c.Wait(t.Context())
		wg.Wait()
	})
}

// Once the result is there nobody's leaving ends the work, and what it returns in the
// end does not replace the result.
func TestAfterDeliverNobodyEndsTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flight.Group[int, int]
		var ended atomic.Int64
		gone, leave := context.WithCancel(t.Context())
		leave()
		const calls = 64 // a waiter with a result and an ended context takes one of the two by chance
		for key := range calls {
			c, _ := g.Join(t.Context(), key, func(ctx context.Context, c *flight.Call[int]) (int, error) {
				c.Deliver(1, nil)
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
					ended.Add(1)
				}
				return 2, errors.New("dropped")
			})
			synctest.Wait()
			_, _ = c.Wait(gone)
		}
		c, _ := g.Join(t.Context(), calls, func(_ context.Context, c *flight.Call[int]) (int, error) {
			c.Deliver(1, nil)
			return 2, errors.New("dropped")
		})
		g.Close()
		if ended.Load() != calls {
			t.Errorf("%d of %d went on to their end", ended.Load(), calls)
		}
		if n, err := c.Wait(t.Context()); n != 1 || err != nil {
			t.Errorf("the second result counts: %d, %v", n, err)
		}
	})
}

// The work keeps the values of who started it: the way that a request came
// is told to whom is asked for it.
func TestTheWorkKeepsValues(t *testing.T) {
	type key struct{}
	var g flight.Group[string, any]
	ctx := context.WithValue(t.Context(), key{}, "way")
	v, err := g.Do(ctx, "k", func(ctx context.Context, _ *flight.Call[any]) (any, error) { return ctx.Value(key{}), nil })
	if v != "way" || err != nil {
		t.Errorf("got %v, %v", v, err)
	}
}
