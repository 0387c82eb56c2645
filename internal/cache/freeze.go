package cache

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	"overland/internal/errs"
)

// Freeze is one consistent state of everything that can change, under a name: as the cache had it at a moment.
type Freeze struct {
	Name string
	At   time.Time // the moment
	Made time.Time // when the freeze was made; what was first asked for later than At is frozen as first seen, when At = Made
}

var freezeName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// ValidName reports whether name can be that of a freeze.
func ValidName(name string) bool { return freezeName.MatchString(name) }

// Freeze makes name stand for the state at the moment at; the zero time is now. A name that stands for another moment
// already is refused (errs.Conflict): machines may rely on it.
func (k *Keeper) Freeze(ctx context.Context, name string, at time.Time) (Freeze, error) {
	if !ValidName(name) {
		return Freeze{}, errs.Errorf(errs.Invalid, "freeze %.80q: 1 to 64 of a-z, 0-9 and ._-, a letter or digit first", name)
	}
	now := k.now()
	f := Freeze{Name: name, At: at, Made: now}
	if at.IsZero() {
		f.At = now
	}
	if f.At.After(now) {
		return Freeze{}, errs.Errorf(errs.Invalid, "freeze %s: %s is in the future", name, f.At.UTC().Format(time.RFC3339))
	}
	if err := k.index.exec(ctx, "INSERT OR IGNORE INTO freeze VALUES (?,?,?)", f.Name, f.At.UnixMilli(), f.Made.UnixMilli()); err != nil {
		return Freeze{}, err
	}
	old, err := k.freeze(ctx, name)
	if err == nil && !at.IsZero() && old.At.UnixMilli() != at.UnixMilli() {
		err = errs.Hint(errs.Errorf(errs.Conflict, "freeze %s stands for %s already", name, old.At.UTC().Format(time.RFC3339)),
			"choose another name")
	}
	return old, err
}

// Thaw removes the freeze name; one that is not there is errs.NotFound.
func (k *Keeper) Thaw(ctx context.Context, name string) error {
	if _, err := k.freeze(ctx, name); err != nil {
		return errs.Hint(err, "overland cache freezes lists them")
	}
	return errors.Join(
		k.index.exec(ctx, "DELETE FROM freeze WHERE name = ?", name),
		k.index.exec(ctx, "DELETE FROM pin WHERE name = ?", name))
}

// Freezes returns all freezes by name.
func (k *Keeper) Freezes(ctx context.Context) ([]Freeze, error) {
	rows, err := k.index.db.QueryContext(ctx, "SELECT name, at, made FROM freeze ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("cache index: %w", err)
	}
	defer rows.Close()
	var list []Freeze
	for rows.Next() {
		f, err := scanFreeze(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, rows.Err()
}

func (k *Keeper) freeze(ctx context.Context, name string) (Freeze, error) {
	f, err := scanFreeze(k.index.db.QueryRowContext(ctx, "SELECT name, at, made FROM freeze WHERE name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return f, errs.Hint(errs.Errorf(errs.NotFound, "there is no freeze %.80q", name), "overland cache freeze %.80s", name)
	}
	return f, err
}

func scanFreeze(row scanner) (Freeze, error) {
	var f Freeze
	var at, made int64
	if err := row.Scan(&f.Name, &at, &made); err != nil {
		return Freeze{}, fmt.Errorf("cache index: %w", err)
	}
	f.At, f.Made = time.UnixMilli(at), time.UnixMilli(made)
	return f, nil
}

// frozen returns what i is in freeze f; false when the freeze does not have it yet.
func (x *index) frozen(ctx context.Context, f Freeze, i id) (version, bool, error) {
	if v, ok, err := x.pinned(ctx, f, i); ok || err != nil {
		return v, ok, err
	}
	return x.newest(ctx, i, f.At)
}

func (x *index) pinned(ctx context.Context, f Freeze, i id) (version, bool, error) {
	return scan(x.db.QueryRowContext(ctx, "SELECT "+columns+" FROM version WHERE (protocol, key, fetched) IN"+
		" (SELECT protocol, key, fetched FROM pin WHERE name = ? AND protocol = ? AND key = ?)", f.Name, i.protocol, i.key))
}

// pin makes v what its answer is in freeze f from now on, unless the freeze has one: it returns the one that it has.
func (x *index) pin(ctx context.Context, f Freeze, v version) (version, error) {
	old, ok, err := x.pinned(ctx, f, v.id)
	if ok || err != nil {
		return old, err
	}
	err = x.exec(ctx, "INSERT OR IGNORE INTO pin VALUES (?,?,?,?)", f.Name, v.protocol, v.key, v.fetched.UnixMilli())
	if err != nil {
		return version{}, err
	}
	old, ok, err = x.pinned(ctx, f, v.id)
	if err == nil && !ok {
		err = errs.Errorf(errs.NotFound, "freeze %s was removed meanwhile", f.Name)
	}
	return old, err
}
