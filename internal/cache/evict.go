package cache

import (
	"context"
	"fmt"
	"time"

	"overland/internal/digest"
)

const (
	recent = time.Minute      // what was used since is not evicted: a client may be about to open it
	tick   = 30 * time.Second // between looks at the limit, and writings of last uses
	thinly = 120              // ticks between looks at what has too many versions
)

// Run looks after the cache until ctx ends: last uses are written down and the limit is held. It returns nil.
func (k *Cache) Run(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if n%thinly == 0 {
			if _, err := k.Thin(ctx); err != nil && ctx.Err() == nil {
				k.o.Log.Error("old versions cannot be dropped", "error", err)
			}
		}
		if _, err := k.Evict(ctx); err != nil && ctx.Err() == nil {
			k.o.Log.Error("nothing can be evicted", "error", err)
		}
		if err := k.flush(ctx); err != nil && ctx.Err() == nil {
			k.o.Log.Warn("last uses are not written down", "error", err)
		}
	}
}

// Size returns how many bytes the answers that are held take, each blob counted once.
func (k *Cache) Size(ctx context.Context) (int64, error) {
	return k.index.size(ctx)
}

// Evict removes what was not used for longest until no more than Options.Limit bytes are held, and returns how many it
// freed. It keeps what Options.Roots names, what a freeze stands on, what was in the depot before the cache fetched it,
// and what was used in the last minute: when that is more than the limit, more stays.
func (k *Cache) Evict(ctx context.Context) (freed int64, err error) {
	if k.o.Limit <= 0 {
		return 0, nil
	}
	size, err := k.Size(ctx)
	if err != nil || size <= k.o.Limit {
		return 0, err
	}
	if err := k.flush(ctx); err != nil {
		return 0, err
	}
	asked := time.Now() // the depot's files have the machine's time
	roots, err := k.roots(ctx)
	if err != nil {
		return 0, err
	}
	if err := k.bind(ctx); err != nil {
		return 0, err
	}
	k.gate.Lock()
	defer k.gate.Unlock()
	frozen, err := k.frozen(ctx)
	if err != nil {
		return 0, err
	}
	list, err := k.index.oldest(ctx, k.now().Add(-recent), frozen)
	if err != nil {
		return 0, err
	}
	for _, v := range list {
		if size-freed <= k.o.Limit {
			break
		}
		if roots[v.blob] {
			continue
		}
		last, err := k.index.drop(ctx, v)
		if err != nil {
			return freed, err
		}
		if !last {
			continue
		}
		gone, err := k.store.Retire(v.blob, asked)
		if err != nil {
			return freed, err
		}
		if gone {
			freed += v.size
		}
	}
	if freed > 0 {
		k.o.Log.Info("evicted", "bytes", freed)
	}
	return freed, nil
}

// roots returns what must stay. Without knowing that, nothing goes.
func (k *Cache) roots(ctx context.Context) (map[digest.Digest]bool, error) {
	if k.o.Roots == nil {
		return nil, nil // nothing has to stay
	}
	keep, err := k.o.Roots(ctx)
	if err != nil {
		return nil, fmt.Errorf("what must be kept: %w", err)
	}
	return keep, nil
}

// frozen returns the moments of all freezes: k.gate is held.
func (k *Cache) frozen(ctx context.Context) (string, error) {
	list, err := k.Freezes(ctx)
	if err != nil {
		return "", err
	}
	return moments(list)
}

// flush writes the last uses down that the index does not know yet.
func (k *Cache) flush(ctx context.Context) error {
	k.mu.Lock()
	used := k.used
	k.used = map[id]time.Time{}
	k.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	return k.index.use(ctx, used)
}
