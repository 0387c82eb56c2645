package db

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Account is a writer of the network cache.
type Account struct {
	Identity string   // hex sha256 of the public key of its client certificate
	Name     string   // for people
	Prefixes []string // of the keys that it may put; none = every key
}

// Accounts returns the writers of the network cache, sorted by name.
func (d *DB) Accounts(ctx context.Context) ([]Account, error) {
	const what = "list accounts"
	var list []Account
	err := d.each(ctx, what, func(scan func(...any) error) error {
		var a Account
		var prefixes string
		if err := scan(&a.Identity, &a.Name, &prefixes); err != nil {
			return err
		}
		list = append(list, a)
		return json.Unmarshal([]byte(prefixes), &list[len(list)-1].Prefixes)
	}, "SELECT identity, name, prefixes FROM netcache_account ORDER BY name, identity")
	return list, err
}

// Revoked is a signing key whose entries the network cache neither takes nor serves.
type Revoked struct {
	KeyID     string
	PublicKey string    // PEM; "" = only the id is known
	Since     time.Time // when it was revoked here, in whole milliseconds
}

// Revoked returns the revoked keys, sorted by id.
func (d *DB) Revoked(ctx context.Context) ([]Revoked, error) {
	var list []Revoked
	err := d.each(ctx, "list revoked keys", func(scan func(...any) error) error {
		var r Revoked
		var since int64
		err := scan(&r.KeyID, &r.PublicKey, &since)
		r.Since = time.UnixMilli(since)
		list = append(list, r)
		return err
	}, "SELECT key_id, public_key, since FROM netcache_revoked ORDER BY key_id")
	return list, err
}

// SetAccess makes accounts and revoked what Accounts and Revoked return, in one transaction. Of a
// key that was revoked before, Since stays.
func (d *DB) SetAccess(ctx context.Context, accounts []Account, revoked []Revoked) error {
	return d.change(ctx, "change who may write to the network cache", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM netcache_account"); err != nil {
			return err
		}
		for _, a := range accounts {
			prefixes, err := json.Marshal(append([]string{}, a.Prefixes...))
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO netcache_account (identity, name, prefixes) VALUES ($1, $2, $3)"+
				" ON CONFLICT DO NOTHING", a.Identity, a.Name, string(prefixes)) // of two of one identity the first counts
			if err != nil {
				return err
			}
		}
		return setRevoked(ctx, tx, revoked)
	})
}

// setRevoked replaces the revoked keys, and keeps since when each was.
func setRevoked(ctx context.Context, tx *sql.Tx, revoked []Revoked) error {
	rows, err := tx.QueryContext(ctx, "SELECT key_id, since FROM netcache_revoked")
	if err != nil {
		return err
	}
	since := map[string]int64{}
	for rows.Next() {
		var id string
		var at int64
		if err := rows.Scan(&id, &at); err != nil {
			return errors.Join(err, rows.Close())
		}
		since[id] = at
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM netcache_revoked"); err != nil {
		return err
	}
	for _, r := range revoked {
		at, known := since[r.KeyID]
		if !known {
			at = r.Since.UnixMilli()
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO netcache_revoked (key_id, public_key, since) VALUES ($1, $2, $3)"+
			" ON CONFLICT DO NOTHING", r.KeyID, r.PublicKey, at)
		if err != nil {
			return err
		}
	}
	return nil
}

// Event is one write to the network cache that an account tried.
type Event struct {
	Time    time.Time // in whole milliseconds
	Action  string    // blob, entry
	Result  string    // stored, or why it was refused
	Account string
	Remote  string
	Key     string
	SHA512  string
	Size    int64 // bytes
	Signer  string
}

const addEvent = "INSERT INTO netcache_audit (id, at, action, result, account, remote, key, sha512, size, signer)" +
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING"

func (e Event) values(id string) []any {
	return []any{id, e.Time.UnixMilli(), e.Action, e.Result, e.Account, e.Remote, e.Key, e.SHA512, e.Size, e.Signer}
}

// AddEvent appends e; it is durable when AddEvent returns.
func (d *DB) AddEvent(ctx context.Context, e Event) error {
	// The id sorts by time, to the nanosecond, among those that any process makes.
	return d.exec(ctx, "write the audit log", addEvent, e.values(fmt.Sprintf("%016x-%.8s", e.Time.UnixNano(), rand.Text()))...)
}

// ImportEvents adds events of another log, in one transaction. One that was
// imported before is not added again.
func (d *DB) ImportEvents(ctx context.Context, list []Event) error {
	return d.change(ctx, "import the audit log", func(tx *sql.Tx) error {
		for _, e := range list {
			sum := sha256.Sum256(fmt.Appendf(nil, "%q", e.values("")))
			if _, err := tx.ExecContext(ctx, addEvent, e.values(fmt.Sprintf("%016x-%x", e.Time.UnixNano(), sum[:8]))...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Events returns the newest events, at most limit, the newest first.
func (d *DB) Events(ctx context.Context, limit int) ([]Event, error) {
	var list []Event
	err := d.each(ctx, "read the audit log", func(scan func(...any) error) error {
		var e Event
		var at int64
		err := scan(&at, &e.Action, &e.Result, &e.Account, &e.Remote, &e.Key, &e.SHA512, &e.Size, &e.Signer)
		e.Time = time.UnixMilli(at)
		list = append(list, e)
		return err
	}, "SELECT at, action, result, account, remote, key, sha512, size, signer FROM netcache_audit ORDER BY id DESC LIMIT $1", limit)
	return list, err
}

// TrimEvents removes all events but the newest keep ones.
func (d *DB) TrimEvents(ctx context.Context, keep int) error {
	return d.exec(ctx, "shorten the audit log", "DELETE FROM netcache_audit WHERE id <="+
		" (SELECT id FROM netcache_audit ORDER BY id DESC LIMIT 1 OFFSET $1)", keep)
}
