package cache

import (
	"context"

	"overland/internal/errs"
)

func (x *index) pinned(ctx context.Context, f Freeze, i id) (version, bool, error) {
	return scan(x.db.QueryRowContext(ctx, "SELECT "+columns+" FROM version WHERE (protocol, key, fetched) IN"+
		" (SELECT protocol, key, fetched FROM pin WHERE name = ? AND made = ? AND protocol = ? AND key = ?)",
		f.Name, f.Made.UnixMilli(), i.protocol, i.key))
}

// pin makes v the answer in freeze f from now on, unless f already has one. It returns the one that
// f has now.
func (x *index) pin(ctx context.Context, f Freeze, v version) (version, error) {
	old, ok, err := x.pinned(ctx, f, v.id)
	if ok || err != nil {
		return old, err
	}
	err = x.exec(ctx, "INSERT OR IGNORE INTO pin VALUES (?,?,?,?,?)",
		f.Name, f.Made.UnixMilli(), v.protocol, v.key, v.fetched.UnixMilli())
	if err != nil {
		return version{}, err
	}
	old, ok, err = x.pinned(ctx, f, v.id)
	if err == nil && !ok {
		err = errs.Errorf(errs.NotFound, "freeze %s was removed meanwhile", f.Name)
	}
	return old, err
}

// unpin removes all pins of the freezes of that name.
func (x *index) unpin(ctx context.Context, name string) error {
	return x.exec(ctx, "DELETE FROM pin WHERE name = ?", name)
}

// unfrozen is true for a row v of the index that no freeze stands on. Its parameter ?1 is what
// moments returns.
const unfrozen = " NOT EXISTS (SELECT 1 FROM json_each(?1) AS f CROSS JOIN pin AS p WHERE p.name = f.value ->> 'name'" +
	"   AND p.made = f.value ->> 'made' AND p.protocol = v.protocol AND p.key = v.key AND p.fetched = v.fetched)" +
	" AND NOT (v.mutable = 1 AND EXISTS (SELECT 1 FROM json_each(?1) AS f WHERE v.fetched = (SELECT MAX(w.fetched)" +
	"   FROM version AS w WHERE w.protocol = v.protocol AND w.key = v.key AND w.fetched <= f.value ->> 'at')))"
