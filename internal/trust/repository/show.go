package repository

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/trust"
)

// Info is what a person sees of a Repository.
type Info struct {
	Fingerprint trust.Fingerprint `json:"fingerprint"` // of the newest root
	Version     int64             `json:"version"`     // of root
	SignedAt    time.Time         `json:"signedAt"`    // of timestamp
	Roles       []RoleInfo        `json:"roles"`       // root, targets, snapshot, timestamp, then the delegated ones by name
	Staged      []Staged          `json:"staged,omitempty"`
}

// RoleInfo is one role: who may sign it, and what is signed.
type RoleInfo struct {
	Role      string          `json:"role"`
	Version   int64           `json:"version"` // 0: nothing is signed yet
	Expires   time.Time       `json:"expires"`
	Threshold int             `json:"threshold"`
	Keys      []trust.KeyInfo `json:"keys"`
	Targets   int             `json:"targets"`
	SignedBy  []string        `json:"signedBy"` // key ids
}

// Show returns what the repository says.
func (r *Repository) Show(_ context.Context) (*Info, error) {
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	known := map[string]trust.KeyInfo{}
	keys, err := r.keys.List()
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		known[k.ID] = k
	}
	info := &Info{Version: s.root.Signed.Version}
	if info.Fingerprint, err = trust.FingerprintOfRoot(s.root); err != nil {
		return nil, err
	}
	if info.SignedAt, err = trust.SignedAt(s.timestamp.Signed.UnrecognizedFields); err != nil {
		return nil, err
	}
	add := func(role string, version int64, expires time.Time, targets int, sigs []metadata.Signature) {
		i := RoleInfo{Role: role, Version: version, Expires: expires, Targets: targets, SignedBy: keyIDs(sigs)}
		ids, threshold := s.signersOf(role)
		i.Threshold = threshold
		for _, id := range ids {
			k := known[id]
			k.ID = id
			i.Keys = append(i.Keys, k)
		}
		info.Roles = append(info.Roles, i)
	}
	top := s.top()
	add(metadata.ROOT, s.root.Signed.Version, s.root.Signed.Expires, 0, s.root.Signatures)
	add(metadata.TARGETS, top.Signed.Version, top.Signed.Expires, len(top.Signed.Targets), top.Signatures)
	add(metadata.SNAPSHOT, s.snapshot.Signed.Version, s.snapshot.Signed.Expires, 0, s.snapshot.Signatures)
	add(metadata.TIMESTAMP, s.timestamp.Signed.Version, s.timestamp.Signed.Expires, 0, s.timestamp.Signatures)
	if top.Signed.Delegations != nil {
		var names []string
		for _, d := range top.Signed.Delegations.Roles {
			names = append(names, d.Name)
		}
		slices.Sort(names)
		for _, name := range names {
			if m := s.roles[name]; m != nil {
				add(name, m.Signed.Version, m.Signed.Expires, len(m.Signed.Targets), m.Signatures)
			} else {
				add(name, 0, time.Time{}, 0, nil)
			}
		}
	}
	info.Staged, err = r.showStaged(s)
	return info, err
}

func (r *Repository) showStaged(s *state) ([]Staged, error) {
	var out []Staged
	root, err := r.stagedRoot(s)
	if err != nil {
		return nil, err
	}
	if root != nil {
		_, want := s.signersOf(metadata.ROOT)
		want = max(want, root.Signed.Roles[metadata.ROOT].Threshold)
		ids := keyIDs(root.Signatures)
		out = append(out, Staged{Role: metadata.ROOT, Version: root.Signed.Version, SignedBy: ids, Have: len(ids), Want: want})
	}
	waiting, err := r.stagedRoles(s)
	if err != nil {
		return nil, err
	}
	for _, role := range slices.Sorted(maps.Keys(waiting)) {
		ids, want := s.with(waiting).signersOf(role)
		st := Staged{Role: role, Version: waiting[role].Signed.Version, SignedBy: keyIDs(waiting[role].Signatures), Want: want}
		for _, id := range st.SignedBy {
			if slices.Contains(ids, id) {
				st.Have++
			}
		}
		out = append(out, st)
	}
	return out, nil
}

func keyIDs(sigs []metadata.Signature) []string {
	out := []string{}
	for _, s := range sigs {
		out = append(out, s.KeyID)
	}
	return out
}

// soon is how long before its expiry a role that people sign is reported when this machine cannot sign it.
const soon = 30 * day

// Refresh signs again what expires soon or is not signed as the newest root demands, with the keys that are here, and
// publishes staged changes that have all their signatures. Nothing due writes nothing. errs.Partial names roles that
// expire within 30 days and need a person's key.
func (r *Repository) Refresh(ctx context.Context) error {
	if err := r.refreshRoot(ctx); err != nil && errs.KindOf(err) != errs.Partial {
		return err
	}
	s, now, unlock, err := r.begin(ctx)
	if err != nil {
		return fmt.Errorf("refresh trust: %w", err)
	}
	defer unlock()
	waiting, err := r.stagedRoles(s)
	if err != nil {
		return fmt.Errorf("refresh trust: %w", err)
	}
	if len(r.ready(s, waiting)) > 0 {
		if err := r.settle(s, now, map[string]*trust.TargetsMetadata{}); err != nil {
			return fmt.Errorf("refresh trust: %w", err)
		}
		if s, err = r.load(); err != nil {
			return fmt.Errorf("refresh trust: %w", err)
		}
	}
	changed, late := r.due(s, now, waiting)
	e := r.o.Expiry
	switch {
	case len(changed) > 0 || s.verify(metadata.SNAPSHOT, s.snapshot) != nil || s.verify(metadata.TARGETS, s.top()) != nil ||
		s.snapshot.Signed.Expires.Sub(now) < e.Snapshot/3:
		err = r.publish(s, now, changed, nil)
	case s.verify(metadata.TIMESTAMP, s.timestamp) != nil || s.timestamp.Signed.Expires.Sub(now) < e.Timestamp/2:
		err = r.publishTimestamp(s, now, s.timestamp.Signed.Meta["snapshot.json"], nil)
	}
	if err != nil {
		return fmt.Errorf("refresh trust: %w", err)
	}
	if s.root.Signed.Expires.Sub(now) < soon {
		late = append(late, metadata.ROOT)
	}
	if len(late) > 0 {
		err := errs.Errorf(errs.Partial, "refresh trust: %v expire within %d days, and their keys are not here", late, int(soon/day))
		return errs.Hint(err, "run overland trust refresh where those keys are")
	}
	return nil
}

// refreshRoot makes the next root version when the newest expires soon and its keys are here.
func (r *Repository) refreshRoot(ctx context.Context) error {
	s, err := r.load()
	if err != nil {
		return fmt.Errorf("refresh trust: %w", err)
	}
	now, err := r.now(s)
	if err != nil {
		return fmt.Errorf("refresh trust: %w", err)
	}
	if s.root.Signed.Expires.Sub(now) > r.o.Expiry.Root/4 {
		return nil
	}
	d, have := s.root.Signed.Roles[metadata.ROOT], 0
	for _, id := range d.KeyIDs {
		if k, err := r.keys.ByID(id); err == nil && k != nil {
			have++
		}
	}
	if have < d.Threshold {
		return nil
	}
	return r.editRoot(ctx, "refresh root", func(root *trust.RootMetadata) error {
		root.Signed.UnrecognizedFields = stamp(root.Signed.UnrecognizedFields, now)
		return nil
	})
}

// due returns the targets roles that must be signed again and can be, as next versions, and those that cannot.
func (r *Repository) due(s *state, now time.Time, waiting map[string]*trust.TargetsMetadata) (changed map[string]*trust.TargetsMetadata, late []string) {
	changed = map[string]*trust.TargetsMetadata{}
	for _, role := range slices.Sorted(maps.Keys(s.roles)) {
		m := s.roles[role]
		left := m.Signed.Expires.Sub(now)
		if waiting[role] != nil || (s.verify(role, m) == nil && left > r.o.Expiry.Targets/4) {
			continue
		}
		next := r.next(m, now)
		ids, _ := s.signersOf(role)
		if _, err := sign(r.keys, next, ids); err == nil && s.verify(role, next) == nil {
			changed[role] = next
		} else if left < soon {
			late = append(late, role)
		}
	}
	return changed, late
}
