package cache

import (
	"context"
	"time"

	"overland/internal/digest"
)

// size returns how many bytes the held blobs take, counting each once.
func (x *index) size(ctx context.Context) (n int64, err error) {
	err = x.db.QueryRowContext(ctx,
		"SELECT COALESCE(SUM(size), 0) FROM (SELECT DISTINCT blob, size FROM version WHERE held = 1)").Scan(&n)
	return n, indexError(err)
}

// oldest returns what may be evicted and was last used before the moment at, the least recently
// used first. frozen is what moments returns.
func (x *index) oldest(ctx context.Context, at time.Time, frozen string) ([]version, error) {
	return x.list(ctx, "SELECT "+columns+" FROM version AS v WHERE held = 1 AND used < ?2"+
		" AND EXISTS (SELECT 1 FROM version AS o WHERE o.blob = v.blob AND o.own = 1) AND"+unfrozen+" ORDER BY used",
		frozen, at.UnixMilli())
}

// drop marks v as not held, and reports whether no other held version has its blob.
// The row changes before the blob is removed: a crash in between leaves an extra
// blob, never a row without its blob.
func (x *index) drop(ctx context.Context, v version) (last bool, err error) {
	err = x.exec(ctx, "UPDATE version SET held = 0 WHERE protocol = ? AND key = ? AND fetched = ?", v.protocol, v.key, v.fetched.UnixMilli())
	if err != nil {
		return false, err
	}
	held, err := x.holds(ctx, v.blob)
	return !held, err
}

// crowded returns the surplus versions of what can change that were last used before the moment at:
// all but the newest, and the last one of each day for so many days.
func (x *index) crowded(ctx context.Context, newest, days int, at time.Time, frozen string) ([]version, error) {
	day := (24 * time.Hour).Milliseconds()
	return x.list(ctx, "WITH counted AS (SELECT *,"+
		" ROW_NUMBER() OVER (PARTITION BY protocol, key ORDER BY fetched DESC) AS n,"+
		" ROW_NUMBER() OVER (PARTITION BY protocol, key, fetched / ?2 ORDER BY fetched DESC) AS ofday FROM version WHERE mutable = 1)"+
		" SELECT "+columns+" FROM counted AS v WHERE (n > ?3 AND ofday > 1 OR n > ?4) AND used < ?5 AND"+unfrozen,
		frozen, day, newest, newest+days, at.UnixMilli())
}

// remove deletes v, unless a freeze stands on it.
func (x *index) remove(ctx context.Context, v version, frozen string) error {
	return x.exec(ctx, "DELETE FROM version AS v WHERE protocol = ?2 AND key = ?3 AND fetched = ?4 AND"+unfrozen,
		frozen, v.protocol, v.key, v.fetched.UnixMilli())
}

// use stores when the newest versions were last used.
func (x *index) use(ctx context.Context, used map[id]time.Time) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return indexError(err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for i, at := range used {
		_, err := tx.ExecContext(ctx, "UPDATE version SET used = MAX(used, ?1) WHERE protocol = ?2 AND key = ?3 AND fetched ="+
			" (SELECT MAX(fetched) FROM version WHERE protocol = ?2 AND key = ?3)", at.UnixMilli(), i.protocol, i.key)
		if err != nil {
			return indexError(err)
		}
	}
	return indexError(tx.Commit())
}

// lists returns the keys of protocol under which something mutable is held.
func (x *index) lists(ctx context.Context, protocol string) (keys []string, _ error) {
	err := x.each(ctx, func(row scanner) error {
		var key string
		err := row.Scan(&key)
		keys = append(keys, key)
		return indexError(err)
	}, "SELECT DISTINCT key FROM version WHERE protocol = ? AND mutable = 1 AND held = 1", protocol)
	return keys, err
}

// holdsOf reports whether blob d is held for something of protocol, and for something of another one.
func (x *index) holdsOf(ctx context.Context, d digest.Digest, protocol string) (of, other bool, err error) {
	const some = "EXISTS (SELECT 1 FROM version WHERE blob = ?1 AND held = 1 AND protocol "
	err = x.db.QueryRowContext(ctx, "SELECT "+some+"= ?2), "+some+"<> ?2)", string(d), protocol).Scan(&of, &other)
	return of, other, indexError(err)
}

// holds reports whether any held version has blob d.
func (x *index) holds(ctx context.Context, d digest.Digest) (ok bool, err error) {
	err = x.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM version WHERE blob = ? AND held = 1)", string(d)).Scan(&ok)
	return ok, indexError(err)
}
