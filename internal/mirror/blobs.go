package mirror

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/httpx"
	"overland/internal/store"
)

// flight is a blob on its way, for all who wait for it.
type flight struct {
	kept sync.Once

	// Guarded by Chain.mu.
	waiters int
	came    int64       // bytes, wasted ones too, and signs of life from further away: it only rises
	last    fetch.Event // of the transfer under way
	heard   []func()    // called when it rises
}

// Fetch returns nil when the depot has d: at once, or after it was fetched through. Errors: kind NotFound when no
// upstream has it, or none sends the right bytes; Unavailable when one may have it later.
func (c *Chain) Fetch(ctx context.Context, d digest.Digest) error {
	f, others := c.join(d)
	defer c.leave(d, f)
	if there, err := store.Has(ctx, c.depot, d); err != nil || there {
		return err
	}
	if c.o.Offline(ctx) {
		return errs.Hint(errs.Errorf(errs.Unavailable, "%s is not here, and the site is offline", d), "overland cache offline off")
	}
	if c.isAbsent(d) {
		return errs.Errorf(errs.NotFound, "no upstream site had %s a moment ago", d)
	}
	if c.dead() {
		return errs.Errorf(errs.Unavailable, "%s is not here, and no upstream site could be reached a moment ago", d)
	}
	if others && httpx.Passed(ctx) {
		var done func()
		ctx, done = c.unlessNobody(ctx, d)
		defer done()
	}
	err := c.fetcher.Fetch(ctx, fetch.Blob{Digest: d, Size: -1})
	if errors.Is(err, errNobody) {
		return errs.E(errs.NotFound, err)
	}
	if errs.KindOf(err) == errs.Unavailable && ctx.Err() == nil {
		c.failed(f)
	}
	if errs.KindOf(err) == errs.NotFound {
		c.setAbsent(d)
	}
	if errs.KindOf(err) == errs.Untrusted {
		// Who lied is in the log. For who asks it is the same as a blob that nobody has.
		return errs.E(errs.NotFound, err)
	}
	if err != nil {
		return err
	}
	f.kept.Do(func() { err = c.kept(ctx, d) })
	return err
}

// errNobody is why a site that waits here for what is being fetched is told that nobody has it.
var errNobody = errors.New("on the way of who asks nobody has it")

// unlessNobody returns ctx, which ends with errNobody when every upstream site says that it has no d. It is for another
// site's request that waits for a fetch which somebody else began: that goes another way, and may in a ring wait for the
// very site that asks. Asked on this request's own way, the ring closes, and who closes it says no at once. The caller calls done.
func (c *Chain) unlessNobody(ctx context.Context, d digest.Digest) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var asking sync.WaitGroup
	asking.Go(func() {
		for _, s := range c.sites {
			if !lacks(ctx, s, d) {
				return
			}
		}
		cancel(errNobody)
	})
	return ctx, func() { cancel(nil); asking.Wait() }
}

// lacks reports whether s says that it has no d, and cannot get it.
func lacks(ctx context.Context, s *fetch.SiteSource, d digest.Digest) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, s.URL().Base()+"/v1/blobs/"+string(d), nil)
	if err != nil {
		return false
	}
	httpx.Forward(ctx, req.Header)
	res, err := s.Transport().RoundTrip(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusNotFound
}

// isAbsent reports whether every upstream site said a moment ago that it has no d.
func (c *Chain) isAbsent(d digest.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	then, ok := c.absent[d]
	return ok && time.Since(then) < c.o.Down
}

func (c *Chain) setAbsent(d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.absent) >= mostAbsent {
		clear(c.absent)
	}
	c.absent[d] = time.Now()
}

// dead reports whether nothing came from upstream a moment ago. Who asks then is told at once, and goes elsewhere.
func (c *Chain) dead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.silent) < c.o.Down
}

func (c *Chain) failed(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.came == 0 {
		c.silent = time.Now()
	}
}

// kept tells who counts what the depot holds.
func (c *Chain) kept(ctx context.Context, d digest.Digest) error {
	if c.o.Kept == nil {
		return nil
	}
	size, err := c.depot.Stat(ctx, d)
	if err != nil {
		return err
	}
	return c.o.Kept(context.WithoutCancel(ctx), d, size)
}

// Done returns how many bytes have come of d while it is fetched.
func (c *Chain) Done(d digest.Digest) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[d]; f != nil {
		return f.came
	}
	return 0
}

// join returns the flight of d, and whether others wait for it already.
func (c *Chain) join(d digest.Digest) (f *flight, others bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f = c.flights[d]
	if f == nil {
		f = &flight{}
		c.flights[d] = f
	}
	f.waiters++
	return f, f.waiters > 1
}

func (c *Chain) leave(d digest.Digest, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		delete(c.flights, d)
	}
}

// progress is the Fetcher's. When a transfer is taken over by another caller its count starts again.
func (c *Chain) progress(e fetch.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.flights[e.Digest]
	if f == nil {
		return
	}
	if e.Moved < f.last.Moved || e.Waits < f.last.Waits {
		f.last = fetch.Event{}
	}
	f.came += e.Moved - f.last.Moved + e.Waits - f.last.Waits
	f.last = e
	for _, heard := range f.heard {
		heard()
	}
}
