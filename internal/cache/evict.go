package cache

import (
	"context"
	"fmt"
	"time"

	"overland/internal/digest"
)

const (
	recent = time.Minute      // what was used this recently is not evicted: a client may be about to open it
	tick   = 30 * time.Second // how often the limit is enforced and times of last use are stored
	thinly = 120              // ticks between two calls of Thin
)

// Run maintains the cache until ctx ends: it stores times of last use and enforces the limit. It
// returns nil.
func (c *Cache) Run(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if n%thinly == 0 {
			if _, err := c.Thin(ctx); err != nil && ctx.Err() == nil {
				c.o.Log.Error("old versions cannot be dropped", "error", err)
			}
		}
		if _, err := c.Evict(ctx); err != nil && ctx.Err() == nil {
			c.o.Log.Error("eviction failed", "error", err)
		}
		if err := c.flush(ctx); err != nil && ctx.Err() == nil {
			c.o.Log.Warn("times of last use cannot be stored", "error", err)
		}
	}
}

// Size returns how many bytes the cached answers take, counting each blob once.
func (c *Cache) Size(ctx context.Context) (int64, error) {
	return c.index.size(ctx)
}

// Evict removes the least recently used answers until at most Options.Limit bytes are left,
// and returns how many bytes it freed. It keeps what Options.Roots names, what a freeze stands
// on, what was in the depot before the cache fetched it, and what was used in the last minute,
// even when that exceeds the limit.
func (c *Cache) Evict(ctx context.Context) (freed int64, err error) {
	if c.o.Limit <= 0 {
		return 0, nil
	}
	size, err := c.Size(ctx)
	if err != nil || size <= c.o.Limit {
		return 0, err
	}
	if err := c.flush(ctx); err != nil {
		return 0, err
	}
	asked := time.Now() // the machine's time, as the depot's files have it
	roots, err := c.roots(ctx)
	if err != nil {
		return 0, err
	}
	if err := c.bind(ctx); err != nil {
		return 0, err
	}
	c.gate.Lock()
	defer c.gate.Unlock()
	frozen, err := c.frozen(ctx)
	if err != nil {
		return 0, err
	}
	list, err := c.index.oldest(ctx, c.now().Add(-recent), frozen)
	if err != nil {
		return 0, err
	}
	for _, v := range list {
		if size-freed <= c.o.Limit {
			break
		}
		if roots[v.blob] {
			continue
		}
		last, err := c.index.drop(ctx, v)
		if err != nil {
			return freed, err
		}
		if !last {
			continue
		}
		gone, err := c.store.Retire(v.blob, asked)
		if err != nil {
			return freed, err
		}
		if gone {
			freed += v.size
		}
	}
	if freed > 0 {
		c.o.Log.Info("evicted", "bytes", freed)
	}
	return freed, nil
}

// roots returns what must stay. When that is not known, nothing may be removed.
func (c *Cache) roots(ctx context.Context) (map[digest.Digest]bool, error) {
	if c.o.Roots == nil {
		return nil, nil // nothing has to stay
	}
	keep, err := c.o.Roots(ctx)
	if err != nil {
		return nil, fmt.Errorf("what must be kept: %w", err)
	}
	return keep, nil
}

// frozen returns the moments of all freezes. The caller holds c.gate.
func (c *Cache) frozen(ctx context.Context) (string, error) {
	list, err := c.Freezes(ctx)
	if err != nil {
		return "", err
	}
	return moments(list)
}

// flush stores the times of last use that the index does not have yet.
func (c *Cache) flush(ctx context.Context) error {
	c.mu.Lock()
	used := c.used
	c.used = map[id]time.Time{}
	c.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	return c.index.use(ctx, used)
}
