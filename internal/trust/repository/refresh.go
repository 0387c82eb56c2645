package repository

import (
	"context"
	"maps"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/trust"
)

// soon is how long before its expiry a role that people sign is reported
// when this machine cannot sign it.
const soon = 30 * day

// Refresh signs again what expires soon or is not signed as the newest root demands, with the keys
// that are here, and publishes staged changes that have all their signatures. Nothing due writes
// nothing. errs.Partial names roles that expire within 30 days and need a person's key.
func (r *Repository) Refresh(ctx context.Context) error {
	err := r.update(ctx, "refresh root", (*tx).refreshRoot)
	if err != nil && errs.KindOf(err) != errs.Partial {
		return err
	}
	return r.update(ctx, "refresh trust", (*tx).refresh)
}

func (t *tx) refresh() error {
	if t.s.roleErr != nil {
		return t.s.roleErr
	}
	if len(t.s.ready(t.s.waiting)) > 0 {
		if err := t.commit(nil); err != nil {
			return err
		}
	}
	changed, late := t.due()
	e, s := t.r.o.Expiry, t.s
	var err error
	switch {
	case len(changed) > 0 || s.verify(metadata.SNAPSHOT, s.snapshot) != nil || s.verify(metadata.TARGETS, s.top()) != nil ||
		s.snapshot.Signed.Expires.Sub(t.now) < e.Snapshot/3:
		err = t.publish(changed, nil)
	case s.verify(metadata.TIMESTAMP, s.timestamp) != nil || s.timestamp.Signed.Expires.Sub(t.now) < e.Timestamp/2:
		err = t.publishTimestamp(s.timestamp.Signed.Meta["snapshot.json"], nil)
	}
	if err != nil {
		return err
	}
	if t.s.root.Signed.Expires.Sub(t.now) < soon {
		late = append(late, metadata.ROOT)
	}
	if len(late) > 0 {
		err := errs.Errorf(errs.Partial, "%v expire within %d days, and their keys are not here", late, int(soon/day))
		return errs.Hint(err, "run overland trust refresh where those keys are")
	}
	return nil
}

// refreshRoot makes the next root version when the newest expires soon and its keys are here.
func (t *tx) refreshRoot() error {
	if t.s.root.Signed.Expires.Sub(t.now) > t.r.o.Expiry.Root/4 {
		return nil
	}
	d := t.s.root.Signed.Roles[metadata.ROOT]
	if n, _ := count(t.signer, d.KeyIDs); n < d.Threshold {
		return nil
	}
	return t.changeRoot(func(root *trust.RootMetadata) error {
		root.Signed.UnrecognizedFields = stamp(root.Signed.UnrecognizedFields, t.now)
		return nil
	})
}

// due returns the targets roles that must be signed again and can be, as next
// versions, and those that cannot.
func (t *tx) due() (changed map[string]*trust.TargetsMetadata, late []string) {
	changed = map[string]*trust.TargetsMetadata{}
	for _, role := range slices.Sorted(maps.Keys(t.s.roles)) {
		m := t.s.roles[role]
		left := m.Signed.Expires.Sub(t.now)
		if t.s.waiting[role] != nil || (t.s.verify(role, m) == nil && left > t.r.o.Expiry.Targets/4) {
			continue
		}
		next := t.next(m)
		ids, _ := t.s.signersOf(role)
		if _, err := sign(t.signer, next, ids); err == nil && t.s.verify(role, next) == nil {
			changed[role] = next
		} else if left < soon {
			late = append(late, role)
		}
	}
	return changed, late
}
