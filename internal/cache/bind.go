package cache

import (
	"context"
	"fmt"
	"time"

	"overland/internal/record"
)

// bound names a version of a list that a freeze has.
type bound struct {
	freeze string
	made   time.Time // of the freeze: its name may be used again
	id
	fetched time.Time
}

// Serve sets the protocols that the cache answers: eviction asks them what belongs together
// (record.Lister).
func (c *Cache) Serve(protocols ...record.Protocol) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spoken = protocols
}

// bind pins, for each freeze, what its lists name as far as that is held, so that eviction leaves a
// state to install from.
func (c *Cache) bind(ctx context.Context) error {
	c.mu.Lock()
	spoken := c.spoken
	c.mu.Unlock()
	freezes, err := c.Freezes(ctx)
	if err != nil {
		return err
	}
	for _, p := range spoken {
		b, ok := p.(record.Lister)
		if !ok || len(freezes) == 0 {
			continue
		}
		keys, err := c.index.lists(ctx, p.Name())
		if err != nil {
			return err
		}
		for _, f := range freezes {
			for _, key := range keys {
				if err := c.bindOne(ctx, b, f, id{p.Name(), key}); err != nil {
					return fmt.Errorf("freeze %s: %s %s: %w", f.Name, p.Name(), key, err)
				}
			}
		}
	}
	return nil
}

func (c *Cache) bindOne(ctx context.Context, b record.Lister, f Freeze, i id) error {
	list, ok, err := c.index.frozen(ctx, f, i)
	if err != nil || !ok || !list.held {
		return err
	}
	this := bound{f.Name, f.Made, i, list.fetched}
	c.mu.Lock()
	done := c.bound[this]
	c.mu.Unlock()
	if done {
		return nil
	}
	names, err := b.Binds(ctx, i.key, c.View(f.Name).lookup(f, i.protocol))
	if err != nil {
		return err
	}
	for _, key := range names {
		v, ok, err := c.index.newest(ctx, id{i.protocol, key}, forever)
		if err == nil && ok && v.held {
			_, err = c.index.pin(ctx, f, v)
		}
		if err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bound[this] = true
	return nil
}
