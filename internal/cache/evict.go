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
func (k *Keeper) Run(ctx context.Context) error {
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
				k.o.Log.Error("old versions cannot be dropped", "err", err)
			}
		}
		if _, err := k.Evict(ctx); err != nil && ctx.Err() == nil {
			k.o.Log.Error("nothing can be evicted", "err", err)
		}
		if err := k.flush(ctx); err != nil && ctx.Err() == nil {
			k.o.Log.Warn("last uses are not written down", "err", err)
		}
	}
}

// Size returns how many bytes the answers that are held take, each blob counted once.
func (k *Keeper) Size(ctx context.Context) (n int64, err error) {
	err = k.index.db.QueryRowContext(ctx,
		"SELECT COALESCE(SUM(size), 0) FROM (SELECT DISTINCT blob, size FROM version WHERE held = 1)").Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("cache index: %w", err)
	}
	return n, nil
}

// Evict removes what was not used for longest until no more than Options.Limit bytes are held, and returns how many it
// freed. It keeps what Options.Roots names, what a freeze stands on, what was in the depot before the cache fetched it,
// and what was used in the last minute: when that is more than the limit, more stays.
func (k *Keeper) Evict(ctx context.Context) (freed int64, err error) {
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
	list, err := k.index.oldest(ctx, k.now().Add(-recent))
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
func (k *Keeper) roots(ctx context.Context) (map[digest.Digest]bool, error) {
	if k.o.Roots == nil {
		return nil, nil //nolint:nilnil // nothing has to stay
	}
	keep, err := k.o.Roots(ctx)
	if err != nil {
		return nil, fmt.Errorf("what must be kept: %w", err)
	}
	return keep, nil
}

// unfrozen is true of a row v of the index that no freeze stands on.
const unfrozen = " NOT EXISTS (SELECT 1 FROM pin AS p WHERE p.protocol = v.protocol AND p.key = v.key AND p.fetched = v.fetched)" +
	" AND NOT (mutable = 1 AND EXISTS (SELECT 1 FROM freeze AS f WHERE v.fetched = (SELECT MAX(w.fetched) FROM version AS w" +
	"   WHERE w.protocol = v.protocol AND w.key = v.key AND w.fetched <= f.at)))"

// oldest returns what may be evicted of what was last used before the moment at, the longest unused first.
func (x *index) oldest(ctx context.Context, at time.Time) ([]version, error) {
	return x.list(ctx, "SELECT "+columns+" FROM version AS v WHERE held = 1 AND used < ?"+
		" AND EXISTS (SELECT 1 FROM version AS o WHERE o.blob = v.blob AND o.own = 1) AND"+unfrozen+" ORDER BY used", at.UnixMilli())
}

// list returns the rows of columns that query selects.
func (x *index) list(ctx context.Context, query string, args ...any) ([]version, error) {
	rows, err := x.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("cache index: %w", err)
	}
	defer rows.Close()
	var list []version
	for rows.Next() {
		v, _, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// drop notes that v is not held any more, and reports whether it was the last one held that has its blob. The row goes
// before the blob: a crash between the two leaves a blob too many, never a row without its blob.
func (x *index) drop(ctx context.Context, v version) (last bool, err error) {
	err = x.exec(ctx, "UPDATE version SET held = 0 WHERE protocol = ? AND key = ? AND fetched = ?", v.protocol, v.key, v.fetched.UnixMilli())
	if err != nil {
		return false, err
	}
	held, err := x.holds(ctx, v.blob)
	return !held, err
}

// flush writes the last uses down that the index does not know yet.
func (k *Keeper) flush(ctx context.Context) error {
	k.mu.Lock()
	used := k.used
	k.used = map[id]time.Time{}
	k.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	tx, err := k.index.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("cache index: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for i, at := range used {
		_, err := tx.ExecContext(ctx, "UPDATE version SET used = MAX(used, ?1) WHERE protocol = ?2 AND key = ?3 AND fetched ="+
			" (SELECT MAX(fetched) FROM version WHERE protocol = ?2 AND key = ?3)", at.UnixMilli(), i.protocol, i.key)
		if err != nil {
			return fmt.Errorf("cache index: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("cache index: %w", err)
	}
	return nil
}
