package cache

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
)

// schema is the index. Times are Unix milliseconds. A version whose blob was evicted stays, with
// held = 0: its digest tells whether upstream still has the same bytes. Nothing in the index is
// durable: what people decided is in Facts, and the rest can be fetched again. So an index of an
// unknown version is recreated.
const schema = `
CREATE TABLE version (
	protocol TEXT NOT NULL, key TEXT NOT NULL, fetched INTEGER NOT NULL,
	checked INTEGER NOT NULL, used INTEGER NOT NULL, held INTEGER NOT NULL, own INTEGER NOT NULL,
	mutable INTEGER NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL, media TEXT NOT NULL,
	proof_kind TEXT NOT NULL, proof TEXT NOT NULL, etag TEXT NOT NULL, modified TEXT NOT NULL,
	PRIMARY KEY (protocol, key, fetched)) WITHOUT ROWID;
CREATE INDEX version_used ON version (used) WHERE held = 1;
CREATE INDEX version_blob ON version (blob);
CREATE TABLE absent (
	protocol TEXT NOT NULL, key TEXT NOT NULL, status INTEGER NOT NULL, until INTEGER NOT NULL,
	PRIMARY KEY (protocol, key)) WITHOUT ROWID;` + pins

// pins are the tables that schema 2 has in place of the pins of 1, which did not say which of
// several freezes with one name they belong to.
const pins = `
CREATE TABLE pin (
	name TEXT NOT NULL, made INTEGER NOT NULL, protocol TEXT NOT NULL, key TEXT NOT NULL, fetched INTEGER NOT NULL,
	PRIMARY KEY (name, made, protocol, key)) WITHOUT ROWID;
CREATE TABLE born (at INTEGER NOT NULL);`

// from1 migrates an index from version 1 to version 2.
const from1 = `
ALTER TABLE pin RENAME TO pin1;` + pins + `
INSERT INTO born VALUES (0);
INSERT INTO pin SELECT p.name, f.made, p.protocol, p.key, p.fetched FROM pin1 AS p JOIN freeze AS f ON f.name = p.name;
DROP TABLE pin1;`

const (
	schemaVersion = 2
	setVersion    = "PRAGMA user_version = 2;"
)

// IndexFile is the index's name in a cache's directory.
const IndexFile = "index.db"

// index records on disk what the cache holds. All SQL of this package is in its methods. It is safe
// for concurrent use, also by several processes.
type index struct {
	db   *sql.DB
	made time.Time // when it was created: it knows nothing of the time before
}

// id names an answer.
type id struct{ protocol, key string }

// version is one content that an answer has had.
type version struct {
	id
	fetched, checked, used time.Time // first seen · last confirmed by upstream · last used
	held                   bool      // its blob is in the depot
	own                    bool      // the cache brought that blob
	mutable                bool
	blob                   digest.Digest
	size                   int64
	media                  string
	proof                  lockfile.Proof
	etag, modified         string // upstream's validators
}

func (v version) entry() lockfile.Entry {
	return lockfile.Entry{
		Protocol: v.protocol, Key: v.key, Status: 200, Blob: v.blob, Size: v.size, MediaType: v.media, Proof: v.proof, Mutable: v.mutable,
		Since: v.fetched,
	}
}

// openIndex opens the index file in dir; a missing one is created, as of now. What an old one holds
// that belongs in facts moves there.
func openIndex(ctx context.Context, dir string, now time.Time, facts Facts) (*index, error) {
	path := filepath.Join(dir, IndexFile)
	// A commit is on the disk when it returns (synchronous FULL): an answer that
	// was served survives a power cut.
	pragmas := "?_pragma=busy_timeout(30000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+pragmas)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(4)
	x := &index{db: db}
	if err := x.prepare(ctx, now, facts); err != nil {
		err = errs.Hint(fmt.Errorf("open %s: %w", path, err), "if it is damaged, remove it: no blob is lost, and what was cached is fetched again")
		return nil, errors.Join(err, db.Close())
	}
	return x, nil
}

func (x *index) prepare(ctx context.Context, now time.Time, facts Facts) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	var n int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&n); err != nil {
		return err
	}
	switch n {
	case schemaVersion:
	case 1:
		_, err = tx.ExecContext(ctx, from1+setVersion)
	default:
		err = recreate(ctx, tx, now)
	}
	var made int64
	if err == nil {
		err = tx.QueryRowContext(ctx, "SELECT at FROM born").Scan(&made)
	}
	if err != nil {
		return err
	}
	x.made = time.UnixMilli(made)
	if err := tx.Commit(); err != nil {
		return err
	}
	return x.moveFacts(ctx, facts)
}

// recreate drops all tables of the index, whatever they are, and creates those of schema.
func recreate(ctx context.Context, tx *sql.Tx, now time.Time) error {
	rows, err := tx.QueryContext(ctx, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
	if err != nil {
		return err
	}
	defer rows.Close()
	text := ""
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		text += `DROP TABLE "` + strings.ReplaceAll(name, `"`, `""`) + `";`
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, text+schema+setVersion); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO born VALUES (?)", now.UnixMilli())
	return err
}

func (x *index) close() error { return x.db.Close() }

const columns = `protocol, key, fetched, checked, used, held, own, mutable, blob, size, media, proof_kind, proof, etag, modified`

type scanner interface{ Scan(...any) error }

// errNoRow is returned when a query for one row finds none.
var errNoRow = sql.ErrNoRows

// indexError returns err marked as an error of the index; nil stays nil.
func indexError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cache index: %w", err)
}

// scan reads a row of columns; ok is false when there is none.
func scan(row scanner) (v version, ok bool, err error) {
	var fetched, checked, used int64
	var blob string
	err = row.Scan(&v.protocol, &v.key, &fetched, &checked, &used, &v.held, &v.own, &v.mutable, &blob, &v.size, &v.media,
		&v.proof.Kind, &v.proof.Value, &v.etag, &v.modified)
	if errors.Is(err, errNoRow) {
		return version{}, false, nil
	}
	if err != nil {
		return version{}, false, indexError(err)
	}
	v.fetched, v.checked, v.used = time.UnixMilli(fetched), time.UnixMilli(checked), time.UnixMilli(used)
	v.blob, err = digest.Parse(blob)
	return v, err == nil, err
}

// each calls do with each row that query selects.
func (x *index) each(ctx context.Context, do func(scanner) error, query string, args ...any) error {
	rows, err := x.db.QueryContext(ctx, query, args...)
	if err != nil {
		return indexError(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := do(rows); err != nil {
			return err
		}
	}
	return indexError(rows.Err())
}

// list returns the rows of columns that query selects.
func (x *index) list(ctx context.Context, query string, args ...any) (list []version, _ error) {
	err := x.each(ctx, func(row scanner) error {
		v, _, err := scan(row)
		list = append(list, v)
		return err
	}, query, args...)
	return list, err
}

// newest returns the version of i that was current at the moment at; false when there was none.
func (x *index) newest(ctx context.Context, i id, at time.Time) (version, bool, error) {
	return scan(x.db.QueryRowContext(ctx, "SELECT "+columns+" FROM version WHERE protocol = ? AND key = ? AND fetched <= ?"+
		" ORDER BY fetched DESC LIMIT 1", i.protocol, i.key, at.UnixMilli()))
}

// before returns the version of i that n newer ones followed; false when there is none.
func (x *index) before(ctx context.Context, i id, n int) (version, bool, error) {
	return scan(x.db.QueryRowContext(ctx, "SELECT "+columns+" FROM version WHERE protocol = ? AND key = ?"+
		" ORDER BY fetched DESC LIMIT 1 OFFSET ?", i.protocol, i.key, n))
}

// recheck marks what is held under i as stale: the next request for it asks upstream.
func (x *index) recheck(ctx context.Context, i id) error {
	return x.exec(ctx, "UPDATE version SET checked = 0 WHERE protocol = ? AND key = ?", i.protocol, i.key)
}

// forever is later than any version.
var forever = time.UnixMilli(1<<62 - 1)

// add makes v the newest version of its answer, or confirms the newest one if that has the same
// bytes. The answer is no longer marked absent. It returns what the index has now.
func (x *index) add(ctx context.Context, v version) (version, error) {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return version{}, indexError(err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	old, ok, err := scan(tx.QueryRowContext(ctx, "SELECT "+columns+" FROM version WHERE protocol = ? AND key = ?"+
		" ORDER BY fetched DESC LIMIT 1", v.protocol, v.key))
	if err != nil {
		return version{}, err
	}
	v.fetched = v.fetched.Truncate(time.Millisecond) // as in the row: two within a millisecond would be one row
	switch {
	case ok && old.blob == v.blob:
		v.fetched, v.own = old.fetched, v.own || old.own
	case ok && !v.fetched.After(old.fetched): // the clock was set back, or has not moved
		v.fetched = old.fetched.Add(time.Millisecond)
	}
	v.held = true
	if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO version ("+columns+") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		v.protocol, v.key, v.fetched.UnixMilli(), v.checked.UnixMilli(), v.used.UnixMilli(), v.held, v.own, v.mutable,
		string(v.blob), v.size, v.media, v.proof.Kind, v.proof.Value, v.etag, v.modified); err != nil {
		return version{}, indexError(err)
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM absent WHERE protocol = ? AND key = ?", v.protocol, v.key); err != nil {
		return version{}, indexError(err)
	}
	return v, indexError(tx.Commit())
}

// exec runs a statement that changes the index.
func (x *index) exec(ctx context.Context, query string, args ...any) error {
	_, err := x.db.ExecContext(ctx, query, args...)
	return indexError(err)
}

// confirm notes that upstream still had v at the moment at.
func (x *index) confirm(ctx context.Context, v version, at time.Time) error {
	return x.exec(ctx, "UPDATE version SET checked = ? WHERE protocol = ? AND key = ? AND fetched = ?",
		at.UnixMilli(), v.protocol, v.key, v.fetched.UnixMilli())
}

// setAbsent notes that upstream said with status that i does not exist, to be believed until then.
func (x *index) setAbsent(ctx context.Context, i id, status int, until time.Time) error {
	return x.exec(ctx, "INSERT OR REPLACE INTO absent VALUES (?,?,?,?)", i.protocol, i.key, status, until.UnixMilli())
}

// absent returns the status with which upstream said that i does not exist; 0 when it did not, or
// too long ago.
func (x *index) absent(ctx context.Context, i id, now time.Time) (status int, err error) {
	err = x.db.QueryRowContext(ctx, "SELECT status FROM absent WHERE protocol = ? AND key = ? AND until > ?",
		i.protocol, i.key, now.UnixMilli()).Scan(&status)
	if errors.Is(err, errNoRow) {
		return 0, nil
	}
	return status, indexError(err)
}
