package repository

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/keys"
)

// state is what a Repository says at one moment. timestamp.json is the commit mark: it names the one snapshot that
// holds, and that names every role's version. Files with higher numbers are left by a change that was cut off, and the
// next one replaces them.
type state struct {
	root      *trust.RootMetadata
	timestamp *trust.TimestampMetadata
	snapshot  *trust.SnapshotMetadata
	roles     map[string]*trust.TargetsMetadata // targets, and the delegated ones by name
}

// load reads the current state.
func (r *Repository) load() (*state, error) {
	s, err := r.read()
	if err != nil {
		err = fmt.Errorf("trust repository %s: %w", r.dir, err)
		return nil, errs.Hint(err, "bring the file back from a copy: a site, a node's source or any volume sealed since")
	}
	return s, nil
}

func (r *Repository) read() (*state, error) {
	s := &state{roles: map[string]*trust.TargetsMetadata{}}
	var err error
	if s.root, err = r.newestRoot(); err != nil {
		return nil, err
	}
	b, err := fsx.ReadFile(r.path("timestamp.json"), trust.MaxTimestamp)
	if err != nil {
		return nil, err
	}
	if s.timestamp, err = trust.ParseTimestamp(b); err != nil {
		return nil, err
	}
	meta := s.timestamp.Signed.Meta["snapshot.json"]
	name := trust.WireName("snapshot", meta.Version)
	if b, err = fsx.ReadFile(r.path(name), trust.MaxSnapshot); err != nil {
		return nil, err
	}
	if err := meta.VerifyLengthHashes(b); err != nil {
		return nil, fmt.Errorf("%s: %w", name, trust.Untrusted("snapshot", err))
	}
	if s.snapshot, err = trust.ParseSnapshot(b); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for file, m := range s.snapshot.Signed.Meta {
		role := strings.TrimSuffix(file, ".json")
		name := trust.WireName(role, m.Version)
		b, err := fsx.ReadFile(r.path(name), trust.MaxTargets)
		if err != nil {
			return nil, err
		}
		if err := m.VerifyLengthHashes(b); err != nil {
			return nil, fmt.Errorf("%s: %w", name, trust.Untrusted(role, err))
		}
		if s.roles[role], err = trust.ParseTargets(b, role); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if s.roles[metadata.TARGETS] == nil {
		return nil, fmt.Errorf("%s: speaks of no targets", name)
	}
	return s, nil
}

// newestRoot returns the last root of the chain from 1.root.json.
func (r *Repository) newestRoot() (*trust.RootMetadata, error) {
	var root *trust.RootMetadata
	for v := int64(1); ; v++ {
		b, err := fsx.ReadFile(r.path(trust.WireName("root", v)), trust.MaxRoot)
		if errors.Is(err, fs.ErrNotExist) && root != nil {
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		if root, err = trust.ParseRoot(b); err != nil {
			return nil, fmt.Errorf("root %d: %w", v, err)
		}
	}
}

// top returns the top-level targets.
func (s *state) top() *trust.TargetsMetadata { return s.roles[metadata.TARGETS] }

// signersOf returns the key ids and the threshold of role.
func (s *state) signersOf(role string) (ids []string, threshold int) {
	if trust.TopLevel(role) {
		if d := s.root.Signed.Roles[role]; d != nil {
			return d.KeyIDs, d.Threshold
		}
		return nil, 0
	}
	if d := trust.Delegation(s.top(), role); d != nil {
		return d.KeyIDs, d.Threshold
	}
	return nil, 0
}

// signersAcross returns the key ids of role, with those that the coming root next gives it; next may be nil.
func (s *state) signersAcross(role string, next *trust.RootMetadata) []string {
	ids, _ := s.signersOf(role)
	if next == nil || next.Signed.Roles[role] == nil {
		return ids
	}
	return append(slices.Clone(ids), next.Signed.Roles[role].KeyIDs...)
}

// verify returns an error unless role's metadata m is signed as its delegator in s demands.
func (s *state) verify(role string, m any) error {
	if trust.TopLevel(role) {
		return trust.Untrusted(role, s.root.VerifyDelegate(role, m))
	}
	return trust.Untrusted(role, s.top().VerifyDelegate(role, m))
}

// with returns s in which the roles of changed have taken the place of the old ones.
func (s *state) with(changed map[string]*trust.TargetsMetadata) *state {
	out := *s
	out.roles = maps.Clone(s.roles)
	maps.Copy(out.roles, changed)
	return &out
}

// holds returns an error unless every targets role of s is signed as its delegator demands.
func (s *state) holds() error {
	for _, role := range slices.Sorted(maps.Keys(s.roles)) {
		if err := s.verify(role, s.roles[role]); err != nil {
			return err
		}
	}
	return nil
}

// next returns m as its next version, unsigned, with a new expiry.
func (r *Repository) next(m *trust.TargetsMetadata, now time.Time) *trust.TargetsMetadata {
	out := *m
	out.Signed.Version++
	out.Signed.Expires = now.Add(r.o.Expiry.Targets)
	out.Signed.UnrecognizedFields = stamp(m.Signed.UnrecognizedFields, now)
	out.Signatures = nil
	return &out
}

// publish writes the changed roles, signed already or (targets) to be signed here, then a snapshot of all, then the
// timestamp that makes it hold. next is the root that is about to come, whose keys sign as well; nil: none.
func (r *Repository) publish(s *state, now time.Time, changed map[string]*trust.TargetsMetadata, next *trust.RootMetadata) error {
	if changed[metadata.TARGETS] == nil && s.verify(metadata.TARGETS, s.top()) != nil {
		// A root rotation was cut off before targets was signed with the new keys.
		changed = maps.Clone(changed)
		changed[metadata.TARGETS] = r.next(s.top(), now)
	}
	for _, role := range slices.Sorted(maps.Keys(changed)) {
		m := changed[role]
		if len(m.Signatures) == 0 {
			if _, err := sign(r.keys, m, s.with(changed).signersAcross(role, next)); err != nil {
				return err
			}
		}
	}
	after := s.with(changed)
	if err := after.holds(); err != nil {
		return err
	}
	snapshot := metadata.Snapshot(now.Add(r.o.Expiry.Snapshot))
	if s.snapshot != nil {
		snapshot.Signed.Version = s.snapshot.Signed.Version + 1
		snapshot.Signed.Meta = maps.Clone(s.snapshot.Signed.Meta)
	}
	snapshot.Signed.UnrecognizedFields = stamp(nil, now)
	for role, m := range changed {
		b, err := m.ToBytes(false)
		if err != nil {
			return err
		}
		if len(b) > trust.MaxTargets {
			return errs.Errorf(errs.Invalid, "%s: metadata %w (%d bytes)", role, trust.ErrTooLarge, trust.MaxTargets)
		}
		if err := r.o.FS.WriteFile(r.path(trust.WireName(role, m.Signed.Version)), b, 0o644); err != nil {
			return err
		}
		snapshot.Signed.Meta[role+".json"] = metaFile(b, m.Signed.Version)
	}
	if err := r.signOnline(after, metadata.SNAPSHOT, snapshot, next); err != nil {
		return err
	}
	b, err := snapshot.ToBytes(false)
	if err != nil {
		return err
	}
	if err := r.o.FS.WriteFile(r.path(trust.WireName("snapshot", snapshot.Signed.Version)), b, 0o644); err != nil {
		return err
	}
	after.snapshot = snapshot
	return r.publishTimestamp(after, now, metaFile(b, snapshot.Signed.Version), next)
}

// publishTimestamp writes the commit mark.
func (r *Repository) publishTimestamp(s *state, now time.Time, snapshot *metadata.MetaFiles, next *trust.RootMetadata) error {
	ts := metadata.Timestamp(now.Add(r.o.Expiry.Timestamp))
	if s.timestamp != nil {
		ts.Signed.Version = s.timestamp.Signed.Version + 1
	}
	ts.Signed.UnrecognizedFields = stamp(nil, now)
	ts.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": snapshot}
	if err := r.signOnline(s, metadata.TIMESTAMP, ts, next); err != nil {
		return err
	}
	s.timestamp = ts
	return r.write("timestamp.json", ts)
}

// signOnline signs snapshot or timestamp m.
func (r *Repository) signOnline(s *state, role string, m any, next *trust.RootMetadata) error {
	ids := s.signersAcross(role, next)
	var err error
	switch m := m.(type) {
	case *trust.SnapshotMetadata:
		_, err = sign(r.keys, m, ids)
	case *trust.TimestampMetadata:
		_, err = sign(r.keys, m, ids)
	}
	if err != nil {
		return err
	}
	if err := s.verify(role, m); err != nil {
		err = errs.Errorf(errs.Denied, "sign %s: the key is not here, or locked: %w", role, err)
		return errs.Hint(err, "this machine needs the key of the role %s: overland key list", role)
	}
	return nil
}

func (r *Repository) write(name string, m interface{ ToBytes(bool) ([]byte, error) }) error {
	b, err := m.ToBytes(false)
	if err != nil {
		return err
	}
	return r.o.FS.WriteFile(r.path(name), b, 0o644)
}

func metaFile(b []byte, version int64) *metadata.MetaFiles {
	raw := digest.New()
	raw.Write(b)
	return &metadata.MetaFiles{Length: int64(len(b)), Hashes: metadata.Hashes{"sha256": raw.Sum(nil)}, Version: version}
}

// sign adds to m the signatures of those keys of ids whose private half is here. It returns how many it added.
func sign[T metadata.Roles](keys *keys.Dir, m *metadata.Metadata[T], ids []string) (int, error) {
	payload, err := cjson.EncodeCanonical(m.Signed)
	if err != nil {
		return 0, fmt.Errorf("sign: %w", err)
	}
	added := 0
	for _, id := range ids {
		if slices.ContainsFunc(m.Signatures, func(s metadata.Signature) bool { return s.KeyID == id }) {
			continue
		}
		key, err := keys.ByID(id)
		if err != nil {
			return added, fmt.Errorf("sign: %w", err)
		}
		if key == nil {
			continue
		}
		sig, err := key.Sign(payload)
		if err != nil {
			return added, fmt.Errorf("sign: %w", err)
		}
		m.Signatures = append(m.Signatures, metadata.Signature{KeyID: id, Signature: sig})
		added++
	}
	return added, nil
}

// addKey adds pub to a delegator's keys and to one role's key ids.
func addKey(keys map[string]*metadata.Key, ids *[]string, pub trust.PublicKey) error {
	k, err := metadata.KeyFromPublicKey(pub.Key)
	if err != nil {
		return err
	}
	keys[pub.ID] = k
	if !slices.Contains(*ids, pub.ID) {
		*ids = append(*ids, pub.ID)
	}
	return nil
}

func sameJSON(a, b any) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && string(x) == string(y)
}
