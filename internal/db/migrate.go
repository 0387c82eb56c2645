package db

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"overland/internal/errs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Dialect is how an engine's SQL differs, for goose's own table.
type Dialect string

// The dialects.
const (
	SQLite   Dialect = Dialect(goose.DialectSQLite3)
	Postgres Dialect = Dialect(goose.DialectPostgres)
)

// migrate brings the schema up to date, with a backup of an older one.
func migrate(ctx context.Context, c Config) (err error) {
	p, err := provider(c)
	if err != nil {
		return fmt.Errorf("migrate the site database: %w", err)
	}
	todo, err := pending(ctx, c, p)
	if err != nil || !todo {
		return err
	}
	if c.Lock != nil {
		unlock, err := c.Lock(ctx)
		if err != nil {
			return fmt.Errorf("migrate the site database: %w", err)
		}
		defer func() { err = errors.Join(err, unlock()) }()
		// Another process may have done it in the meantime.
		if todo, err = pending(ctx, c, p); err != nil || !todo {
			return err
		}
	}
	have, err := version(ctx, c)
	if err != nil {
		return err
	}
	if have > 0 && c.Backup != nil {
		if err := c.Backup(ctx, have); err != nil {
			return fmt.Errorf("back the site database up before its schema changes: %w", err)
		}
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the site database: %w", err)
	}
	return nil
}

func provider(c Config) (*goose.Provider, error) {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.Dialect(c.Dialect), c.Write, steps, goose.WithDisableGlobalRegistry(true))
}

// pending reports whether the database's schema is older than the newest
// step. A newer one is errs.Invalid.
func pending(ctx context.Context, c Config, p *goose.Provider) (bool, error) {
	have, err := version(ctx, c)
	if err != nil {
		return false, err
	}
	list := p.ListSources()
	want := list[len(list)-1].Version
	if have > want {
		err := errs.Errorf(errs.Invalid, "the site database has schema %d, and this program knows %d", have, want)
		return false, errs.Hint(err, "use the newer overland that wrote it, or put back the copy that was made before its schema changed")
	}
	return have < want, nil
}

// version returns the version of the schema; 0 = there is none yet. It
// writes nothing, unlike goose's own.
func version(ctx context.Context, c Config) (int64, error) {
	const table = goose.DefaultTablename
	have := map[Dialect]string{
		SQLite:   "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '" + table + "'",
		Postgres: "SELECT COUNT(*) FROM pg_tables WHERE tablename = '" + table + "'",
	}
	var n int64
	if err := c.Read.QueryRowContext(ctx, have[c.Dialect]).Scan(&n); err != nil || n == 0 {
		return 0, failed("read the schema's version", err)
	}
	var v sql.NullInt64
	err := c.Read.QueryRowContext(ctx, "SELECT MAX(version_id) FROM "+table+" WHERE is_applied").Scan(&v)
	return v.Int64, failed("read the schema's version", err)
}
