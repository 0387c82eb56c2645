package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/trust"
)

// update is one look at the upstream sites' metadata, for all who wait for it.
type update struct {
	done   chan struct{}
	cancel context.CancelFunc
}

// Metadata returns verified metadata. Upstream is asked first when that was long ago, for as long as Options.Patience;
// when it fails, what was verified before is handed on, and the reader judges whether it is still fresh. It has the form
// of a trust.MetadataSource.
func (c *Chain) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	if !httpx.Held(ctx) {
		c.look(ctx)
	}
	return c.mirror.Metadata(ctx, name, limit)
}

// look starts an update when one is due, and waits for the one that is under way.
func (c *Chain) look(ctx context.Context) {
	c.mu.Lock()
	patience := c.o.Patience
	if c.trouble != "" {
		patience = min(patience, time.Second) // it failed a moment ago: what is here will do
	}
	u := c.update
	if u == nil && (c.o.Root != "" || c.mirror.Pinned()) && time.Since(c.checked) >= c.o.Fresh && !c.o.Offline(ctx) {
		u = c.begin(ctx)
	}
	c.mu.Unlock()
	if u == nil {
		return
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-u.done:
	case <-late.C: // it goes on for those who ask later
	case <-ctx.Done():
	}
}

// begin starts an update. The caller holds c.mu.
func (c *Chain) begin(ctx context.Context) *update {
	u := &update{done: make(chan struct{})}
	ctx, u.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.update = u
	c.wg.Go(func() {
		defer u.cancel()
		err := c.refresh(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.update, c.checked = nil, time.Now()
		close(u.done)
		if ctx.Err() == nil {
			c.report(err)
		}
	})
	return u
}

// refresh takes over what the first site has that answers well. One whose metadata has expired is passed over while
// another one can be asked: it may be cut off from the operator.
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

// report logs a trouble when it begins and when it ends. The caller holds c.mu.
func (c *Chain) report(err error) {
	switch {
	case err == nil && c.trouble != "":
		c.o.Log.Info("upstream metadata is taken over again")
		c.trouble = ""
	case err != nil && !c.mirror.Pinned() && errs.KindOf(err) == errs.Untrusted && err.Error() != c.trouble:
		c.o.Log.Error("no signed metadata is handed on: the upstream sites have another root", "err", err, "hint", errs.HintOf(err))
		c.trouble = err.Error()
	case err != nil && err.Error() != c.trouble:
		c.o.Log.Warn("upstream metadata is not taken over: what was verified before is handed on", "err", err)
		c.trouble = err.Error()
	}
}
