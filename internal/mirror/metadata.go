package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"overland/internal/errs"
	"overland/internal/flight"
	"overland/internal/health"
	"overland/internal/httpx"
	"overland/internal/trust"
)

// Metadata returns verified metadata. Upstream is asked first when that was long ago, for as long
// as Options.Patience; when it fails, what was verified before is served, and the reader decides
// whether it is still fresh. It implements trust.MetadataSource.
func (c *Chain) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	if !httpx.OnlyIfCached(ctx) {
		c.update(ctx)
	}
	return c.mirror.Metadata(ctx, name, limit)
}

// update waits for the update that is under way, or for a new one when that is due.
func (c *Chain) update(ctx context.Context) {
	due := (c.o.Root != "" || c.mirror.Pinned()) && !c.fresh.Has(struct{}{}) && !c.o.Offline(ctx)
	if !due && c.updates.Find(struct{}{}) == nil {
		return
	}
	call, _ := c.updates.Join(ctx, struct{}{}, func(ctx context.Context, _ *flight.Call[struct{}]) (struct{}, error) {
		err := c.refresh(ctx)
		c.fresh.Set(struct{}{}, c.o.Fresh)
		if ctx.Err() == nil {
			c.report(err)
		}
		return struct{}{}, err
	})
	call.Keep() // for those who ask later
	patience := c.o.Patience
	if c.trouble.Lasts() {
		patience = min(patience, time.Second) // it failed a moment ago: what is here will do
	}
	_, _ = call.WaitFor(ctx, patience)
}

// refresh takes the metadata of the first site that has it valid. One whose metadata has expired is
// skipped while another can be asked: it may be cut off from the operator.
func (c *Chain) refresh(ctx context.Context) error {
	if !c.mirror.Pinned() {
		if err := c.pin(ctx); err != nil {
			return err
		}
		if !c.mirror.Pinned() {
			return errs.Errorf(errs.Unavailable, "no upstream site can be reached to pin %s", c.o.Root)
		}
	}
	var failed error
	for _, s := range c.sites {
		f, err := c.mirror.Update(ctx, s)
		if err == nil && time.Now().Before(f.Expires) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("%w on %s", trust.ErrExpired, f.Expires.Format(time.RFC3339))
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %w", s.Name(), err))
	}
	return failed
}

// report logs that updates fail, when that begins, when the reason changes and when it ends.
func (c *Chain) report(err error) {
	switch change := c.trouble.Report(err); {
	case change == health.Ended:
		c.o.Log.Info("metadata is updated from upstream again")
	case change == health.Began && !c.mirror.Pinned() && errs.KindOf(err) == errs.Untrusted:
		c.o.Log.Error("no signed metadata is served: the upstream sites have another root", "error", err, "hint", errs.HintOf(err))
	case change == health.Began:
		c.o.Log.Warn("metadata is not updated from upstream: what was verified before is served", "error", err)
	}
}
