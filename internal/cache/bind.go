package cache

import (
	"context"
	"fmt"
	"time"

	"overland/internal/record"
)

// bound is a list as a freeze has it.
type bound struct {
	freeze string
	made   time.Time // of the freeze: its name may come again
	id
	fetched time.Time
}

// Serve says which protocols the cache answers: eviction asks them what belongs together (record.Lister).
func (k *Cache) Serve(protocols ...record.Protocol) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.spoken = protocols
}

// bind has each freeze keep what is held of what its lists name, so that eviction leaves a state to install from.
func (k *Cache) bind(ctx context.Context) error {
	k.mu.Lock()
	spoken := k.spoken
	k.mu.Unlock()
	freezes, err := k.Freezes(ctx)
	if err != nil {
		return err
	}
	for _, p := range spoken {
		b, ok := p.(record.Lister)
		if !ok || len(freezes) == 0 {
			continue
		}
		keys, err := k.index.lists(ctx, p.Name())
		if err != nil {
			return err
		}
		for _, f := range freezes {
			for _, key := range keys {
				if err := k.bindOne(ctx, b, f, id{p.Name(), key}); err != nil {
					return fmt.Errorf("freeze %s: %s %s: %w", f.Name, p.Name(), key, err)
				}
			}
		}
	}
	return nil
}

func (k *Cache) bindOne(ctx context.Context, b record.Lister, f Freeze, i id) error {
	list, ok, err := k.index.frozen(ctx, f, i)
	if err != nil || !ok || !list.held {
		return err
	}
	this := bound{f.Name, f.Made, i, list.fetched}
	k.mu.Lock()
	done := k.bound[this]
	k.mu.Unlock()
	if done {
		return nil
	}
	names, err := b.Binds(ctx, i.key, k.View(f.Name).lookup(f, i.protocol))
	if err != nil {
		return err
	}
	for _, key := range names {
		v, ok, err := k.index.newest(ctx, id{i.protocol, key}, forever)
		if err == nil && ok && v.held {
			_, err = k.index.pin(ctx, f, v)
		}
		if err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bound[this] = true
	return nil
}
