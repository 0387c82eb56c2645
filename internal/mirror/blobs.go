package mirror

import (
	"context"
	"net/http"
	"sync"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/flight"
	"overland/internal/httpx"
	"overland/internal/store"
)

// arrived is a blob that was fetched, for all who waited for it: the first of those
// who fetch for a node counts it.
type arrived = *sync.Once

// Fetch returns nil when the depot has d: at once, or after it was fetched through.
// Errors: kind NotFound when no upstream has it, or none sends the right bytes;
// Unavailable when one may have it later.
func (c *Chain) Fetch(ctx context.Context, d digest.Digest) error {
	if there, err := store.Has(ctx, c.depot, d); err != nil || there {
		return err
	}
	switch {
	case c.o.Offline(ctx):
		return errs.Hint(errs.Errorf(errs.Unavailable, "%s is not here, and the site is offline", d), "overland cache offline off")
	case c.absent.Has(d):
		return errs.Errorf(errs.NotFound, "no upstream site had %s a moment ago", d)
	case c.silent.Has(struct{}{}):
		return errs.Errorf(errs.Unavailable, "%s is not here, and no upstream site could be reached a moment ago", d)
	}
	call, joined := c.join(ctx, fetch.Blob{Digest: d, Size: -1})
	wait := ctx
	if joined && httpx.Relayed(ctx) {
		var done func()
		wait, done = httpx.UnlessNobody(ctx, c.lacks(d)...)
		defer done()
	}
	once, err := call.Wait(wait)
	if err != nil {
		if wait.Err() == nil {
			c.remember(d, err, call.Progress())
		}
		if errs.KindOf(err) == errs.Untrusted {
			// The log says who lied. For the requester it is the same as a blob that nobody has.
			err = errs.E(errs.NotFound, err)
		}
		return err
	}
	once.Do(func() { err = c.kept(ctx, d) })
	return err
}

// join returns the fetch of b, which may have others that wait for it already.
func (c *Chain) join(ctx context.Context, b fetch.Blob) (call *flight.Call[arrived], joined bool) {
	return c.blobs.Join(ctx, b.Digest, func(ctx context.Context, _ *flight.Call[arrived]) (arrived, error) {
		ctx, end, err := c.turns.Begin(ctx)
		if err != nil {
			return nil, err
		}
		defer end()
		return new(sync.Once), c.fetcher.Fetch(ctx, b)
	})
}

// remember keeps the outcome of a fetch that failed, so that the next request is told
// at once, and can go elsewhere.
func (c *Chain) remember(d digest.Digest, err error, progress int64) {
	switch errs.KindOf(err) {
	case errs.NotFound:
		c.absent.Set(d, c.o.Down)
	case errs.Unavailable:
		if progress == 0 {
			c.silent.Set(struct{}{}, c.o.Down)
		}
	}
}

// lacks returns, for each upstream site, whether it says that it does not have d and cannot get it.
func (c *Chain) lacks(d digest.Digest) (list []func(context.Context) bool) {
	for _, s := range c.sites {
		list = append(list, func(ctx context.Context) bool {
			return httpx.Lacks(ctx, s.Transport(), http.MethodHead, s.URL().Base()+"/v1/blobs/"+string(d), true)
		})
	}
	return list
}

// kept tells whoever counts what the depot holds.
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
	if call := c.blobs.Find(d); call != nil {
		return call.Progress()
	}
	return 0
}

// progress is the Fetcher's: bytes, wasted ones too, and signs of life from further away.
func (c *Chain) progress(e fetch.Event) {
	if call := c.blobs.Find(e.Digest); call != nil {
		call.Reach(e.Moved + e.Waits)
	}
}
