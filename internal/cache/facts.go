package cache

import (
	"context"
	"encoding/json"
	"time"
)

// Facts is where a cache keeps what people told it, which must survive the removal of the cache's
// directory. It is safe for concurrent use, also by several processes. Each implementation runs the
// contract suite cachetest.Facts.
type Facts interface {
	// Freezes returns all freezes, sorted by name.
	Freezes(ctx context.Context) ([]Freeze, error)
	// Freeze returns the freeze of that name: errs.NotFound when there is none.
	Freeze(ctx context.Context, name string) (Freeze, error)
	// AddFreeze stores f. An existing freeze of that name stays as it is, and that is not an error.
	AddFreeze(ctx context.Context, f Freeze) error
	// RemoveFreeze removes the freeze of that name. It is not an error when there is none.
	RemoveFreeze(ctx context.Context, name string) error
	// Offline reports whether somebody switched the site offline.
	Offline(ctx context.Context) (bool, error)
	// SetOffline switches the site offline (true) or online.
	SetOffline(ctx context.Context, on bool) error
}

// Offline reports whether upstream must not be asked.
func (c *Cache) Offline(ctx context.Context) (bool, error) {
	if c.o.Offline {
		return true, nil
	}
	return c.facts.Offline(ctx)
}

// SetOffline forbids (true) or allows requests to upstream, from now on and after a restart, in
// every process that has the cache open.
func (c *Cache) SetOffline(ctx context.Context, on bool) error { return c.facts.SetOffline(ctx, on) }

// moments returns list as the JSON array that queries of the index take.
func moments(list []Freeze) (string, error) {
	type moment struct {
		Name string `json:"name"`
		Made int64  `json:"made"`
		At   int64  `json:"at"`
	}
	out := make([]moment, len(list))
	for i, f := range list {
		out[i] = moment{f.Name, f.Made.UnixMilli(), f.At.UnixMilli()}
	}
	b, err := json.Marshal(out)
	return string(b), err
}

// moveFacts moves to facts what an index made before there were Facts holds.
func (x *index) moveFacts(ctx context.Context, facts Facts) error {
	var n int
	err := x.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'freeze'").Scan(&n)
	if err != nil || n == 0 {
		return indexError(err)
	}
	var list []Freeze
	err = x.each(ctx, func(row scanner) error {
		var f Freeze
		var at, made int64
		err := row.Scan(&f.Name, &at, &made)
		f.At, f.Made = time.UnixMilli(at), time.UnixMilli(made)
		list = append(list, f)
		return indexError(err)
	}, "SELECT name, at, made FROM freeze")
	if err != nil {
		return err
	}
	for _, f := range list {
		if err := facts.AddFreeze(ctx, f); err != nil {
			return err
		}
	}
	var offline bool
	err = x.db.QueryRowContext(ctx, "SELECT COALESCE((SELECT value FROM setting WHERE name = 'offline'), 0)").Scan(&offline)
	if err != nil {
		return indexError(err)
	}
	if offline {
		if err := facts.SetOffline(ctx, true); err != nil {
			return err
		}
	}
	return x.exec(ctx, "DROP TABLE freeze; DROP TABLE setting")
}
