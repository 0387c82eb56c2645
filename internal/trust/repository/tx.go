package repository

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/trust"
)

// tx is one change under way: the state as it will be, and the files that make it so, in order.
type tx struct {
	r       *Repository
	s       *State
	now     time.Time // to sign at
	signer  signerOf  // of what is changed; the online roles are always signed with the repository's keys
	changes []Change

	about    string // the role that errors do not name, since the caller does; "" = none
	replaced bool   // another change that waited gives way to this one
}

// signerOf returns a signer with the key id, nil when there is none.
type signerOf func(id string) (trust.Signer, error)

// flush writes what was changed so far. The error wraps ErrMoved when another writer was first.
func (t *tx) flush(ctx context.Context) error {
	if len(t.changes) == 0 {
		return nil
	}
	rev, err := t.r.files.Commit(ctx, t.s.rev, t.changes)
	if err != nil {
		return err
	}
	s := *t.s
	s.rev = rev
	t.s, t.changes = &s, nil
	t.r.remember(&s)
	return nil
}

// put adds a file to the change, or with nil removes it.
func (t *tx) put(s *State, name string, b []byte) {
	t.changes = append(t.changes, Change{name, b})
	s.raw = maps.Clone(s.raw)
	s.names = slices.DeleteFunc(slices.Clone(s.names), func(n string) bool { return n == name })
	if b == nil {
		delete(s.raw, name)
		return
	}
	s.names = append(s.names, name)
	if s.raw == nil {
		s.raw = map[string][]byte{}
	}
	s.raw[name] = b
}

// next returns m as its next version, unsigned, with a new expiry.
func (t *tx) next(m *trust.TargetsMetadata) *trust.TargetsMetadata {
	out := *m
	out.Signed.Version++
	out.Signed.Expires = t.now.Add(t.r.o.Expiry.Targets)
	out.Signed.UnrecognizedFields = stamp(m.Signed.UnrecognizedFields, t.now)
	out.Signatures = nil
	return &out
}

// publish signs the changed roles (those that are not signed yet), then a snapshot of all, then the
// timestamp that makes it hold. next is the root that is about to come, whose keys sign as well;
// nil: none. After an error nothing is changed.
func (t *tx) publish(changed map[string]*trust.TargetsMetadata, next *trust.RootMetadata) error {
	if changed[metadata.TARGETS] == nil && t.s.verify(metadata.TARGETS, t.s.top()) != nil {
		// A root rotation was cut off before targets was signed with the new keys.
		changed = maps.Clone(changed)
		if changed == nil {
			changed = map[string]*trust.TargetsMetadata{}
		}
		changed[metadata.TARGETS] = t.next(t.s.top())
	}
	for _, role := range slices.Sorted(maps.Keys(changed)) {
		m := signable(changed[role])
		ids := t.s.with(changed).signersAcross(role, next)
		m.Signatures = slices.DeleteFunc(m.Signatures, func(s metadata.Signature) bool {
			return !slices.Contains(ids, s.KeyID) // of one who only proposed it
		})
		changed[role] = m
		if len(m.Signatures) == 0 {
			if _, err := sign(t.r.keys.ByID, m, ids); err != nil {
				return err
			}
		}
	}
	after := t.s.with(changed)
	if err := after.holds(); err != nil {
		return err
	}
	work := *t
	work.changes = slices.Clone(t.changes)
	snapshot := metadata.Snapshot(t.now.Add(t.r.o.Expiry.Snapshot))
	if t.s.snapshot != nil {
		snapshot.Signed.Version = t.s.snapshot.Signed.Version + 1
		snapshot.Signed.Meta = maps.Clone(t.s.snapshot.Signed.Meta)
	}
	snapshot.Signed.UnrecognizedFields = stamp(nil, t.now)
	for _, role := range slices.Sorted(maps.Keys(changed)) {
		b, err := work.putRole(after, role, changed[role])
		if err != nil {
			return err
		}
		snapshot.Signed.Meta[role+".json"] = metaFile(b, changed[role].Signed.Version)
	}
	if err := signOnline(t.r.keys, after, metadata.SNAPSHOT, snapshot, next); err != nil {
		return err
	}
	b, err := snapshot.ToBytes(false)
	if err != nil {
		return err
	}
	if after.snapshot, err = trust.ParseSnapshot(b); err != nil {
		return err
	}
	work.put(after, trust.WireName(metadata.SNAPSHOT, snapshot.Signed.Version), b)
	work.s = after
	if err := work.publishTimestamp(metaFile(b, snapshot.Signed.Version), next); err != nil {
		return err
	}
	work.s.parseStaged() // the versions that it is for have moved on
	*t = work
	return nil
}

// putRole adds role's metadata m, as it will be read again, to after and to the change.
func (t *tx) putRole(after *State, role string, m *trust.TargetsMetadata) ([]byte, error) {
	b, err := m.ToBytes(false)
	if err != nil {
		return nil, err
	}
	if len(b) > trust.MaxTargets {
		return nil, errs.Errorf(errs.Invalid, "%s: metadata %w (%d bytes)", role, trust.ErrTooLarge, trust.MaxTargets)
	}
	if after.roles[role], err = trust.ParseTargets(b, role); err != nil {
		return nil, err
	}
	t.put(after, trust.WireName(role, m.Signed.Version), b)
	return b, nil
}

// publishTimestamp signs the commit mark.
func (t *tx) publishTimestamp(snapshot *metadata.MetaFiles, next *trust.RootMetadata) error {
	ts := metadata.Timestamp(t.now.Add(t.r.o.Expiry.Timestamp))
	if t.s.timestamp != nil {
		ts.Signed.Version = t.s.timestamp.Signed.Version + 1
	}
	ts.Signed.UnrecognizedFields = stamp(nil, t.now)
	ts.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": snapshot}
	if err := signOnline(t.r.keys, t.s, metadata.TIMESTAMP, ts, next); err != nil {
		return err
	}
	b, err := ts.ToBytes(false)
	if err != nil {
		return err
	}
	s := *t.s
	if s.timestamp, err = trust.ParseTimestamp(b); err != nil {
		return err
	}
	s.signed = t.now
	t.put(&s, timestampFile, b)
	t.s = &s
	return nil
}

// putRoot makes root the newest.
func (t *tx) putRoot(root *trust.RootMetadata) error {
	b, err := root.ToBytes(false)
	if err != nil {
		return err
	}
	s := *t.s
	if s.root, err = trust.ParseRoot(b); err != nil {
		return err
	}
	if s.print, err = trust.FingerprintOfRoot(s.root); err != nil {
		return err
	}
	t.put(&s, trust.WireName(metadata.ROOT, root.Signed.Version), b)
	s.parseStaged()
	t.s = &s
	return nil
}

// stage keeps a change of role that lacks signatures; writing what is
// staged already changes nothing.
func (t *tx) stage(role string, version int64, m interface{ ToBytes(bool) ([]byte, error) }) error {
	b, err := m.ToBytes(false)
	if err != nil {
		return err
	}
	name := StagedDir + trust.WireName(role, version)
	if bytes.Equal(t.s.raw[name], b) {
		return nil
	}
	s := *t.s
	t.put(&s, name, b)
	s.parseStaged()
	t.s = &s
	return nil
}

// unstage drops what is staged of role, if anything is.
func (t *tx) unstage(role string, version int64) {
	name := StagedDir + trust.WireName(role, version)
	if !t.s.has(name) {
		return
	}
	s := *t.s
	t.put(&s, name, nil)
	s.parseStaged()
	t.s = &s
}

func metaFile(b []byte, version int64) *metadata.MetaFiles {
	raw := digest.New()
	raw.Write(b)
	return &metadata.MetaFiles{Length: int64(len(b)), Hashes: metadata.Hashes{"sha256": raw.Sum(nil)}, Version: version}
}
