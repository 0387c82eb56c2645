package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"overland/internal/errs"
)

// DB answers the queries of this package. It is safe for concurrent use, also by several processes.
// The caller ends it with Close.
type DB struct {
	write, read *sql.DB
}

// Config is what an engine opens a DB with.
type Config struct {
	Dialect Dialect
	Write   *sql.DB // of one connection where the engine has one writer
	Read    *sql.DB // may be Write
	// Lock is held while the schema is changed, and keeps other processes from doing
	// so; nil = the engine does that.
	Lock func(ctx context.Context) (unlock func() error, err error)
	// Backup keeps a copy of a database of schema version before that is
	// changed; nil = there is no need.
	Backup func(ctx context.Context, version int64) error
}

// New brings the schema of c up to date and returns the DB, which owns both pools. Errors: kind
// Invalid for a schema newer than this program. On an error the pools are closed.
func New(ctx context.Context, c Config) (*DB, error) {
	d := &DB{write: c.Write, read: c.Read}
	if err := migrate(ctx, c); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close closes both pools.
func (d *DB) Close() error {
	if d.read == d.write {
		return d.write.Close()
	}
	return errors.Join(d.read.Close(), d.write.Close())
}

// change runs do in a transaction that may write.
func (d *DB) change(ctx context.Context, what string, do func(tx *sql.Tx) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return failed(what, err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := do(tx); err != nil {
		return failed(what, err)
	}
	return failed(what, tx.Commit())
}

// exec runs one statement that writes.
func (d *DB) exec(ctx context.Context, what, query string, args ...any) error {
	_, err := d.write.ExecContext(ctx, query, args...)
	return failed(what, err)
}

// each calls row for each row that query selects.
func (d *DB) each(ctx context.Context, what string, row func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := d.read.QueryContext(ctx, query, args...)
	if err != nil {
		return failed(what, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return failed(what, err)
		}
	}
	return failed(what, rows.Err())
}

func failed(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return errs.E(errs.NotFound, fmt.Errorf("%s: no such row", what))
	}
	return fmt.Errorf("%s: site database: %w", what, err)
}
