package cache

import (
	"context"
	"time"
)

// How many versions of one changing thing are kept: the newest ones, then the last one of each day
// (UTC), so that "as of that day" keeps its meaning.
const (
	keepNewest = 50
	keepDays   = 400
)

// Thin drops surplus versions of what can change, with those of their blobs that nothing
// else needs, and returns how many versions it dropped. It keeps what a freeze stands on and
// what was used in the last minute.
func (c *Cache) Thin(ctx context.Context) (dropped int, err error) {
	frozen, err := c.frozen(ctx)
	if err != nil {
		return 0, err
	}
	list, err := c.index.crowded(ctx, keepNewest, keepDays, c.now().Add(-recent), frozen)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	asked := time.Now()
	roots, err := c.roots(ctx)
	if err != nil {
		return 0, err
	}
	c.gate.Lock()
	defer c.gate.Unlock()
	if frozen, err = c.frozen(ctx); err != nil { // a freeze may have been made meanwhile
		return 0, err
	}
	for _, v := range list {
		if err := c.index.remove(ctx, v, frozen); err != nil {
			return dropped, err
		}
		dropped++
		used, err := c.index.holds(ctx, v.blob)
		if err != nil {
			return dropped, err
		}
		if used || !v.own || !v.held || roots[v.blob] {
			continue
		}
		if _, err := c.store.Retire(v.blob, asked); err != nil {
			return dropped, err
		}
	}
	c.o.Log.Info("old versions dropped", "versions", dropped)
	return dropped, nil
}
