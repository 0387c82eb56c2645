package repository

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/trust"
)

const timestampFile = "timestamp.json"

// State is what a repository says at one moment. It does not change,
// and is safe for concurrent use.
//
// timestamp.json is the commit mark: it names the one snapshot that holds, which names
// every role's version. Files with higher numbers are left by a change that was cut off,
// and the next change replaces them.
type State struct {
	files Files
	rev   Revision
	names []string          // of all files, with history and leftovers
	raw   map[string][]byte // the files that hold now, and what is staged, by name

	root      *trust.RootMetadata
	timestamp *trust.TimestampMetadata
	snapshot  *trust.SnapshotMetadata
	roles     map[string]*trust.TargetsMetadata // targets, and the delegated ones by name
	print     trust.Fingerprint                 // of root
	signed    time.Time                         // by timestamp

	staged // what waits for signatures
}

// read returns the files' state, each file opened once.
func read(ctx context.Context, files Files) (*State, error) {
	names, rev, err := files.List(ctx)
	if err != nil {
		return nil, err
	}
	s := &State{files: files, rev: rev, names: names, raw: map[string][]byte{}}
	if err := s.readRoots(ctx); err != nil {
		return nil, err
	}
	if err := s.readRoles(ctx); err != nil {
		return nil, err
	}
	s.readStaged(ctx)
	return s, nil
}

// take reads the file name and remembers its bytes.
func (s *State) take(ctx context.Context, name string, limit int64) ([]byte, error) {
	b, err := s.files.Read(ctx, name, limit)
	if err == nil {
		s.raw[name] = b
	}
	return b, err
}

// readRoots reads the chain of roots from 1.root.json; the last one holds.
func (s *State) readRoots(ctx context.Context) error {
	for v := int64(1); v == 1 || s.has(trust.WireName(metadata.ROOT, v)); v++ {
		b, err := s.take(ctx, trust.WireName(metadata.ROOT, v), trust.MaxRoot)
		if err != nil {
			return err
		}
		if s.root, err = trust.ParseRoot(b); err != nil {
			return fmt.Errorf("root %d: %w", v, err)
		}
	}
	var err error
	s.print, err = trust.FingerprintOfRoot(s.root)
	return err
}

func (s *State) readRoles(ctx context.Context) error {
	b, err := s.take(ctx, timestampFile, trust.MaxTimestamp)
	if err != nil {
		return err
	}
	if s.timestamp, err = trust.ParseTimestamp(b); err != nil {
		return err
	}
	if s.signed, err = trust.SignedAt(s.timestamp.Signed.UnrecognizedFields); err != nil {
		return err
	}
	meta := s.timestamp.Signed.Meta["snapshot.json"]
	name := trust.WireName(metadata.SNAPSHOT, meta.Version)
	if b, err = s.take(ctx, name, trust.MaxSnapshot); err != nil {
		return err
	}
	if err := meta.VerifyLengthHashes(b); err != nil {
		return fmt.Errorf("%s: %w", name, trust.Untrusted("snapshot", err))
	}
	if s.snapshot, err = trust.ParseSnapshot(b); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.roles = map[string]*trust.TargetsMetadata{}
	for file, m := range s.snapshot.Signed.Meta {
		role := strings.TrimSuffix(file, ".json")
		name := trust.WireName(role, m.Version)
		b, err := s.take(ctx, name, trust.MaxTargets)
		if err != nil {
			return err
		}
		if err := m.VerifyLengthHashes(b); err != nil {
			return fmt.Errorf("%s: %w", name, trust.Untrusted(role, err))
		}
		if s.roles[role], err = trust.ParseTargets(b, role); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if s.roles[metadata.TARGETS] == nil {
		return fmt.Errorf("%s: lists no targets", name)
	}
	return nil
}

func (s *State) has(name string) bool { return slices.Contains(s.names, name) }

// Fingerprint returns the fingerprint of the newest root: what a node is told to trust.
func (s *State) Fingerprint() trust.Fingerprint { return s.print }

// SignedAt returns when the timestamp was signed.
func (s *State) SignedAt() time.Time { return s.signed }

// Targets returns what role ("app/wallet") says; an unknown role says
// nothing. The map is the caller's.
func (s *State) Targets(role string) map[string]trust.TargetFile {
	if m := s.roles[role]; m != nil {
		return trust.FilesOf(m)
	}
	return map[string]trust.TargetFile{}
}

// Version returns the published version of role; 0 = nothing was signed for it.
func (s *State) Version(role string) int64 {
	if m := s.roles[role]; m != nil {
		return m.Signed.Version
	}
	return 0
}

// SignedBy returns the ids of the keys that validly signed what the delegated role says, sorted.
func (s *State) SignedBy(role string) []string {
	if m := s.roles[role]; m != nil {
		return trust.SignersOf(s.top(), role, m)
	}
	return nil
}

// SignedTime returns when what role says was signed; zero when nothing was.
func (s *State) SignedTime(role string) time.Time {
	m := s.roles[role]
	if m == nil {
		return time.Time{}
	}
	at, err := trust.SignedAt(m.Signed.UnrecognizedFields)
	if err != nil {
		return time.Time{}
	}
	return at
}

// Roles returns the names of the delegated roles that say something, sorted.
func (s *State) Roles() []string {
	var out []string
	for role, m := range s.roles {
		if role != metadata.TARGETS && len(m.Signed.Targets) > 0 {
			out = append(out, role)
		}
	}
	slices.Sort(out)
	return out
}

// History returns the published versions of role, the newest first. It reads every older version.
func (s *State) History(ctx context.Context, role string) ([]trust.Version, error) {
	current := s.roles[role]
	if current == nil {
		return nil, nil
	}
	var out []trust.Version
	for _, v := range slices.Backward(trust.Versions(s.names, role)) {
		if v > current.Signed.Version {
			continue // left by a change that was cut off
		}
		m := current
		if v < current.Signed.Version {
			b, err := s.files.Read(ctx, trust.WireName(role, v), trust.MaxTargets)
			if err != nil {
				return nil, fmt.Errorf("history of %s: %w", role, err)
			}
			if m, err = trust.ParseTargets(b, role); err != nil {
				return nil, fmt.Errorf("history of %s: version %d: %w", role, v, err)
			}
		}
		at, err := trust.SignedAt(m.Signed.UnrecognizedFields)
		if err != nil {
			return nil, fmt.Errorf("history of %s: version %d: %w", role, v, err)
		}
		out = append(out, trust.Version{Version: v, SignedAt: at, Targets: trust.FilesOf(m)})
	}
	return out, nil
}

// Names returns the names of all files that a client needs: every root, and the current timestamp,
// snapshot, targets and delegated roles. It is what a volume carries.
func (s *State) Names() []string {
	var names []string
	for v := int64(1); v <= s.root.Signed.Version; v++ {
		names = append(names, trust.WireName(metadata.ROOT, v))
	}
	names = append(names, timestampFile, trust.WireName(metadata.SNAPSHOT, s.snapshot.Signed.Version))
	var roles []string
	for file, m := range s.snapshot.Signed.Meta {
		roles = append(roles, trust.WireName(strings.TrimSuffix(file, ".json"), m.Version))
	}
	slices.Sort(roles)
	return append(names, roles...)
}

// Metadata returns the file name, so that a State is a trust.MetadataSource: what holds is in
// memory, what is older is read. The bytes are not to be changed.
func (s *State) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	if name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("metadata %.100q: %w", name, fs.ErrNotExist)
	}
	b, ok := s.raw[name]
	if !ok {
		return s.files.Read(ctx, name, limit)
	}
	if int64(len(b)) > limit {
		return nil, errs.Errorf(errs.Untrusted, "%s: %w (%d bytes)", name, trust.ErrTooLarge, limit)
	}
	return b, nil
}

// top returns the top-level targets.
func (s *State) top() *trust.TargetsMetadata { return s.roles[metadata.TARGETS] }

// signersOf returns the key ids and the threshold of role.
func (s *State) signersOf(role string) (ids []string, threshold int) {
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

// SignerKeys returns the keys that may sign what the delegated role says.
func (s *State) SignerKeys(role string) []trust.PublicKey { return trust.DelegatedKeys(s.top(), role) }

// signersAcross returns the key ids of role, with those that the coming root
// next gives it; next may be nil.
func (s *State) signersAcross(role string, next *trust.RootMetadata) []string {
	ids, _ := s.signersOf(role)
	if next == nil || next.Signed.Roles[role] == nil {
		return ids
	}
	return append(slices.Clone(ids), next.Signed.Roles[role].KeyIDs...)
}

// verify returns an error unless role's metadata m is signed as its delegator in s demands.
func (s *State) verify(role string, m any) error {
	if trust.TopLevel(role) {
		return trust.Untrusted(role, s.root.VerifyDelegate(role, m))
	}
	return trust.Untrusted(role, s.top().VerifyDelegate(role, m))
}

// holds returns an error unless every targets role of s is signed as its delegator demands.
func (s *State) holds() error {
	for _, role := range slices.Sorted(maps.Keys(s.roles)) {
		if err := s.verify(role, s.roles[role]); err != nil {
			return err
		}
	}
	return nil
}

// with returns s in which the roles of changed have taken the place of the old ones.
func (s *State) with(changed map[string]*trust.TargetsMetadata) *State {
	out := *s
	out.roles = maps.Clone(s.roles)
	if out.roles == nil {
		out.roles = map[string]*trust.TargetsMetadata{}
	}
	maps.Copy(out.roles, changed)
	return &out
}
