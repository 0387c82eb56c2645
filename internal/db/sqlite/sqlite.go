package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver

	"overland/internal/db"
	"overland/internal/errs"
	"overland/internal/fsx"
)

const (
	readers = 4
	private = 0o600 // the file's mode: it has accounts in it
)

// Open opens the site database in the file path, makes it when it is missing, and brings its schema
// up to date. Before an older schema is changed a copy goes to PATH.schema-N. The caller closes it.
// Errors: kind Invalid for a newer schema.
func Open(ctx context.Context, path string) (*db.DB, error) {
	d, err := open(ctx, path)
	if err != nil {
		if errs.HintOf(err) == "" {
			err = errs.Hint(err, "when the file is damaged, put back a copy of it")
		}
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return d, nil
}

func open(ctx context.Context, path string) (*db.DB, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	write, err := pool(path, 1, "&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	read, err := pool(path, readers, "&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	if err := write.PingContext(ctx); err != nil { // WAL before the first reader comes
		return nil, errors.Join(err, read.Close(), write.Close())
	}
	return db.New(ctx, db.Config{
		Dialect: db.SQLite, Write: write, Read: read,
		Lock: func(context.Context) (func() error, error) {
			lock, err := fsx.WaitLock(path + ".lock")
			if err != nil {
				return nil, err
			}
			return lock.Unlock, nil
		},
		Backup: func(ctx context.Context, version int64) error { return backup(ctx, write, path, version) },
	})
}

// create makes an empty file that only its owner may read; SQLite gives the
// files beside it the same mode.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, private)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), fsx.FS{}.SyncDir(filepath.Dir(path)))
}

// pool returns at most n connections to the file path, which must be there.
func pool(path string, n int, more string) (*sql.DB, error) {
	const pragmas = "?mode=rw&_pragma=busy_timeout(30000)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	p, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+pragmas+more)
	if err != nil {
		return nil, err
	}
	p.SetMaxOpenConns(n)
	p.SetMaxIdleConns(n)
	return p, nil
}

// backup writes a copy of the database, whose schema is version,
// beside it, in place of an older one.
func backup(ctx context.Context, d *sql.DB, path string, version int64) error {
	to := fmt.Sprintf("%s.schema-%d", path, version)
	half := to + ".tmp"
	if err := os.Remove(half); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// SQLite takes an empty file that is there: so the copy is never open to others, not even while
	// it is made.
	if err := os.WriteFile(half, nil, private); err != nil {
		return err
	}
	if _, err := d.ExecContext(ctx, "VACUUM INTO $1", half); err != nil {
		return errors.Join(err, os.Remove(half))
	}
	f, err := os.OpenFile(half, os.O_RDWR, private)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(private), f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(fsx.FS{}.Rename(half, to), fsx.FS{}.SyncDir(filepath.Dir(to)))
}
