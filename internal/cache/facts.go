package cache

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"overland/internal/errs"
)

// Facts is where a cache keeps what people told it, and what must survive the removal of its directory. It is safe for
// concurrent use, also by several processes. cachetest.Facts is the suite that each implementation runs.
type Facts interface {
	// Freezes returns all freezes, sorted by name.
	Freezes(ctx context.Context) ([]Freeze, error)
	// Freeze returns the freeze of that name: errs.NotFound when there is none.
	Freeze(ctx context.Context, name string) (Freeze, error)
	// AddFreeze stores f. When there is a freeze of that name already, that one stays as it is, and it is no error.
	AddFreeze(ctx context.Context, f Freeze) error
	// RemoveFreeze removes the freeze of that name; that there is none is no error.
	RemoveFreeze(ctx context.Context, name string) error
	// Offline reports whether the site was told to ask nobody.
	Offline(ctx context.Context) (bool, error)
	// SetOffline changes that.
	SetOffline(ctx context.Context, on bool) error
}

// Offline reports whether upstream must not be asked.
func (k *Cache) Offline(ctx context.Context) (bool, error) {
	if k.o.Offline {
		return true, nil
	}
	return k.facts.Offline(ctx)
}

// SetOffline says whether upstream may be asked, from now on and after a restart, to every process that has the cache
// open.
func (k *Cache) SetOffline(ctx context.Context, on bool) error { return k.facts.SetOffline(ctx, on) }

// moments is the form in which queries of the index take freezes: a JSON array.
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

// indexFacts keeps facts in the index itself: for a cache whose Options name no other place.
type indexFacts struct{ x *index }

func (f indexFacts) Freezes(ctx context.Context) ([]Freeze, error) {
	var list []Freeze
	err := f.x.each(ctx, func(row scanner) error {
		z, err := scanFreeze(row)
		list = append(list, z)
		return err
	}, "SELECT name, at, made FROM freeze ORDER BY name")
	return list, err
}

func (f indexFacts) Freeze(ctx context.Context, name string) (Freeze, error) {
	z, err := scanFreeze(f.x.db.QueryRowContext(ctx, "SELECT name, at, made FROM freeze WHERE name = ?", name))
	if errors.Is(err, errNoRow) {
		err = errs.Errorf(errs.NotFound, "there is no freeze %.80q", name)
	}
	return z, err
}

func (f indexFacts) AddFreeze(ctx context.Context, z Freeze) error {
	return f.x.exec(ctx, "INSERT OR IGNORE INTO freeze VALUES (?,?,?)", z.Name, z.At.UnixMilli(), z.Made.UnixMilli())
}

func (f indexFacts) RemoveFreeze(ctx context.Context, name string) error {
	return f.x.exec(ctx, "DELETE FROM freeze WHERE name = ?", name)
}

func (f indexFacts) Offline(ctx context.Context) (on bool, err error) {
	err = f.x.db.QueryRowContext(ctx, "SELECT COALESCE((SELECT value FROM setting WHERE name = 'offline'), 0)").Scan(&on)
	return on, indexError(err)
}

func (f indexFacts) SetOffline(ctx context.Context, on bool) error {
	return f.x.exec(ctx, "INSERT OR REPLACE INTO setting VALUES ('offline', ?)", on)
}

func scanFreeze(row scanner) (Freeze, error) {
	var f Freeze
	var at, made int64
	if err := row.Scan(&f.Name, &at, &made); err != nil {
		return Freeze{}, indexError(err)
	}
	f.At, f.Made = time.UnixMilli(at), time.UnixMilli(made)
	return f, nil
}

// moveFacts moves what an index of before Facts holds to facts.
func (x *index) moveFacts(ctx context.Context, facts Facts) error {
	var n int
	err := x.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'freeze'").Scan(&n)
	if err != nil || n == 0 {
		return indexError(err)
	}
	old := indexFacts{x}
	list, err := old.Freezes(ctx)
	if err != nil {
		return err
	}
	for _, f := range list {
		if err := facts.AddFreeze(ctx, f); err != nil {
			return err
		}
	}
	on, err := old.Offline(ctx)
	if err == nil && on {
		err = facts.SetOffline(ctx, true)
	}
	if err != nil {
		return err
	}
	return x.exec(ctx, "DROP TABLE freeze; DROP TABLE setting")
}
