package db

import (
	"context"
	"time"
)

// Freeze is the name of a state of the cache at a moment.
type Freeze struct {
	Name string
	At   time.Time // the moment, in whole milliseconds
	Made time.Time // when it was named, in whole milliseconds
}

// Freezes returns all freezes, sorted by name.
func (d *DB) Freezes(ctx context.Context) ([]Freeze, error) {
	var list []Freeze
	err := d.each(ctx, "list freezes", func(scan func(...any) error) error {
		f, err := readFreeze(scan)
		list = append(list, f)
		return err
	}, "SELECT name, at, made FROM freeze ORDER BY name")
	return list, err
}

// Freeze returns the freeze of that name: errs.NotFound when there is none.
func (d *DB) Freeze(ctx context.Context, name string) (Freeze, error) {
	f, err := readFreeze(d.read.QueryRowContext(ctx, "SELECT name, at, made FROM freeze WHERE name = $1", name).Scan)
	return f, failed("freeze "+name, err)
}

func readFreeze(scan func(...any) error) (f Freeze, err error) {
	var at, made int64
	err = scan(&f.Name, &at, &made)
	f.At, f.Made = time.UnixMilli(at), time.UnixMilli(made)
	return f, err
}

// AddFreeze stores f. A freeze of that name that is there already stays as it is, and is no error.
func (d *DB) AddFreeze(ctx context.Context, f Freeze) error {
	return d.exec(ctx, "add freeze "+f.Name, "INSERT INTO freeze (name, at, made) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		f.Name, f.At.UnixMilli(), f.Made.UnixMilli())
}

// RemoveFreeze removes the freeze of that name; that there is none is no error.
func (d *DB) RemoveFreeze(ctx context.Context, name string) error {
	return d.exec(ctx, "remove freeze "+name, "DELETE FROM freeze WHERE name = $1", name)
}

// offline is the name of the setting that says whether the site asks nobody.
const offline = "offline"

// Offline reports whether the site was told to ask nobody.
func (d *DB) Offline(ctx context.Context) (on bool, err error) {
	err = d.read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM setting WHERE name = $1 AND value = 'on')", offline).Scan(&on)
	return on, failed("read whether the site is offline", err)
}

// SetOffline changes what Offline reports, for every process that has the database open.
func (d *DB) SetOffline(ctx context.Context, on bool) error {
	value := "off"
	if on {
		value = "on"
	}
	return d.exec(ctx, "set whether the site is offline",
		"INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", offline, value)
}
