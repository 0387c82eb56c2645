package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/trust"
)

// ErrStaged is wrapped when a change waits for more signatures. Kind: partial.
var ErrStaged = errors.New("waits for more signatures")

// Staged is a change that waits for more signatures. One of the keys that the published metadata
// names has signed it, if only as a proposal.
type Staged struct {
	Role     string        `json:"role"`
	Version  int64         `json:"version"`
	Digest   digest.Digest `json:"digest"`   // of the payload
	SignedBy []string      `json:"signedBy"` // key ids of those who may sign and did, validly
	Have     int           `json:"have"`     // how many they are
	Want     int           `json:"want"`

	Signers  []string                    `json:"-"` // key ids of those who may sign
	Proposed []string                    `json:"-"` // key ids of others, who proposed it
	SignedAt time.Time                   `json:"-"`
	Expires  time.Time                   `json:"-"`
	Was      time.Time                   `json:"-"` // the expiry of what is published; zero for a new role
	Before   map[string]trust.TargetFile `json:"-"` // what the published version says
	After    map[string]trust.TargetFile `json:"-"` // what this one says
	Grants   []Grant                     `json:"-"` // whose signers change
	// Payload is what a signer elsewhere is given to read and to sign: the signed part as canonical
	// JSON. AddSignature takes the signature.
	Payload []byte `json:"-"`
}

// Grant is who may sign for Role, and how many must, before and after a change.
type Grant struct {
	Role          string
	Before, After Holders
}

// Holders are the signers of a role. The zero value is a role that is not there.
type Holders struct {
	Keys      []string // ids, sorted
	Threshold int
}

// Rejected is a staged file that nobody is asked to sign.
type Rejected struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	Why     string `json:"why"`
}

// staged is what a State holds of the changes that wait. Damage to
// one stops only those who need it.
type staged struct {
	unread  map[string]error // files that could not be read, by name
	newRoot *trust.RootMetadata
	rootErr error
	waiting map[string]*trust.TargetsMetadata
	roleErr error
	refused []Rejected
}

// readStaged reads every staged change. One that is gone by now was published or dropped.
func (s *State) readStaged(ctx context.Context) {
	for _, name := range s.names {
		if _, ok := cutStaged(name); !ok {
			continue
		}
		if _, err := s.take(ctx, name, trust.MaxTargets); err != nil && !errors.Is(err, fs.ErrNotExist) {
			if s.unread == nil {
				s.unread = map[string]error{}
			}
			s.unread[name] = err
		}
	}
	s.parseStaged()
}

// parseStaged finds those staged changes that are for the version after the one that holds.
func (s *State) parseStaged() {
	s.refused = nil
	s.newRoot, s.rootErr = s.parseStagedRoot()
	s.waiting, s.roleErr = s.parseStagedRoles()
}

// stagedFile returns the bytes of a staged change, nil when there is none.
func (s *State) stagedFile(role string, version int64) ([]byte, error) {
	name := StagedDir + trust.WireName(role, version)
	return s.raw[name], s.unread[name]
}

func (s *State) parseStagedRoot() (*trust.RootMetadata, error) {
	b, err := s.stagedFile(metadata.ROOT, s.root.Signed.Version+1)
	if err != nil || b == nil {
		return nil, err
	}
	root, err := trust.ParseRoot(b)
	if err != nil {
		return nil, errs.Hint(err, "overland trust unstage root drops the damaged change")
	}
	if root.Signed.Version != s.root.Signed.Version+1 {
		return nil, errs.Errorf(errs.Invalid, "staged root: version %d in the file of version %d", root.Signed.Version, s.root.Signed.Version+1)
	}
	if !s.proposed(metadata.ROOT, root.Signed.Version, root.Signed.UnrecognizedFields, root.Signed.Expires,
		root.Signed, root.Signatures, nil) {
		return nil, nil
	}
	keys := s.known(nil)
	maps.Copy(keys, root.Signed.Keys)
	return root, dropInvalid(root, keys)
}

func (s *State) parseStagedRoles() (map[string]*trust.TargetsMetadata, error) {
	out := map[string]*trust.TargetsMetadata{}
	names := []string{metadata.TARGETS}
	if s.top().Signed.Delegations != nil {
		for _, d := range s.top().Signed.Delegations.Roles {
			names = append(names, d.Name)
		}
	}
	for i := 0; i < len(names); i++ {
		role := names[i]
		version := int64(1)
		if m := s.roles[role]; m != nil {
			version = m.Signed.Version + 1
		}
		b, err := s.stagedFile(role, version)
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		m, err := trust.ParseTargets(b, role)
		if err != nil {
			return nil, errs.Hint(err, "overland trust unstage %s drops the damaged change", role)
		}
		if m.Signed.Version != version {
			return nil, errs.Errorf(errs.Invalid, "staged %s: version %d in the file of version %d", role, m.Signed.Version, version)
		}
		if !s.proposed(role, version, m.Signed.UnrecognizedFields, m.Signed.Expires,
			m.Signed, m.Signatures, out[metadata.TARGETS]) {
			continue
		}
		if err := dropInvalid(m, s.known(out[metadata.TARGETS])); err != nil {
			return nil, err
		}
		out[role] = m
		if role == metadata.TARGETS && m.Signed.Delegations != nil {
			for _, d := range m.Signed.Delegations.Roles {
				if !slices.Contains(names, d.Name) {
					names = append(names, d.Name)
				}
			}
		}
	}
	return out, nil
}

// Staged returns the changes that wait for signatures: that of root, then the others by role.
func (s *State) Staged() ([]Staged, error) {
	var out []Staged
	if s.rootErr != nil {
		return nil, s.rootErr
	}
	if root := s.newRoot; root != nil {
		_, want := s.signersOf(metadata.ROOT)
		st := Staged{
			Role: metadata.ROOT, Version: root.Signed.Version, Want: max(want, root.Signed.Roles[metadata.ROOT].Threshold),
			Signers: s.rootSigners(root), Expires: root.Signed.Expires, Was: s.root.Signed.Expires,
			Grants: grants(rootHolders(s.root), rootHolders(root)),
		}
		if err := s.fill(&st, root.Signed, root.Signatures, root.Signed.UnrecognizedFields); err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	if s.roleErr != nil {
		return nil, s.roleErr
	}
	for _, role := range slices.Sorted(maps.Keys(s.waiting)) {
		m := s.waiting[role]
		ids, want := s.with(s.waiting).signersOf(role)
		st := Staged{
			Role: role, Version: m.Signed.Version, Want: want, Signers: ids, Expires: m.Signed.Expires,
			Before: s.Targets(role), After: trust.FilesOf(m), Grants: grants(holders(s.roles[role]), holders(m)),
		}
		if now := s.roles[role]; now != nil {
			st.Was = now.Signed.Expires
		}
		if err := s.fill(&st, m.Signed, m.Signatures, m.Signed.UnrecognizedFields); err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

// Rejected returns the staged files that nobody is asked to sign, and why.
func (s *State) Rejected() []Rejected { return s.refused }

func keyIDs(sigs []metadata.Signature) []string {
	out := []string{}
	for _, s := range sigs {
		out = append(out, s.KeyID)
	}
	return out
}

// commit signs the proposed changes with the keys that are here and publishes what then has enough
// signatures, together with staged changes that do. The rest is staged: errs.Partial.
func (t *tx) commit(proposed map[string]*trust.TargetsMetadata) error {
	if t.s.roleErr != nil {
		return t.s.roleErr
	}
	waiting := maps.Clone(t.s.waiting)
	for role, m := range proposed {
		if old := waiting[role]; old != nil {
			switch {
			case t.sameChange(old, m):
				m = old
			case role == metadata.TARGETS:
				err := errs.Errorf(errs.Conflict, "another change of %s waits for signatures", role)
				return errs.Hint(err, "overland trust show lists it; overland trust sign %s approves it, "+
					"overland trust unstage %s drops it", role, role)
			default:
				// What is asked for now replaces what waited: a roll-back that waits for its
				// second signature must not keep the mended release away.
				t.replaced = true
			}
		}
		waiting[role] = signable(m)
	}
	after := t.s.with(waiting)
	for role := range proposed {
		ids, _ := after.signersOf(role)
		if _, err := sign(t.signer, waiting[role], ids); err != nil {
			return err
		}
	}
	failed := t.publishReady(waiting)
	if failed != nil && errs.KindOf(failed) != errs.Denied {
		return failed
	}
	return t.stageRest(proposed, waiting, failed)
}

// publishReady publishes, and takes out of waiting, what has all its signatures.
func (t *tx) publishReady(waiting map[string]*trust.TargetsMetadata) error {
	for {
		ready := t.s.ready(waiting)
		if len(ready) == 0 {
			return nil
		}
		if err := t.publish(ready, nil); err != nil {
			return err
		}
		for role, m := range ready {
			delete(waiting, role)
			t.unstage(role, m.Signed.Version)
		}
	}
}

// stageRest stages what of proposed is still waiting; failed is why the online key could not
// publish it, nil when it lacks signatures.
func (t *tx) stageRest(proposed, waiting map[string]*trust.TargetsMetadata, failed error) error {
	var lacking []string
	for _, role := range slices.Sorted(maps.Keys(proposed)) {
		m := waiting[role]
		if m == nil {
			continue
		}
		if err := t.propose(role, m.Signed, &m.Signatures); err != nil {
			return err
		}
		if err := t.stage(role, m.Signed.Version, m); err != nil {
			return err
		}
		lacking = append(lacking, role)
	}
	if len(lacking) == 0 {
		return failed
	}
	return t.waits(lacking, failed)
}

// ready returns which of the waiting changes may be published at once: all together, or one alone.
func (s *State) ready(waiting map[string]*trust.TargetsMetadata) map[string]*trust.TargetsMetadata {
	if len(waiting) == 0 {
		return nil
	}
	if s.with(waiting).holds() == nil {
		return maps.Clone(waiting)
	}
	top := waiting[metadata.TARGETS]
	for _, role := range slices.Sorted(maps.Keys(waiting)) {
		if role != metadata.TARGETS && top != nil && !sameJSON(trust.Delegation(s.top(), role), trust.Delegation(top, role)) {
			continue // signed for signers that are about to change: it goes out together with them
		}
		one := map[string]*trust.TargetsMetadata{role: waiting[role]}
		if s.with(one).holds() == nil {
			return one
		}
	}
	return nil
}

// sameChange reports whether the staged change a says what b says, and is valid for no longer than
// this machine would have signed it for then, and for half as long from now on at least: the signatures
// of both are over a, and one that ends tomorrow takes from all nodes tomorrow what it says.
func (t *tx) sameChange(a, b *trust.TargetsMetadata) bool {
	at, err := trust.SignedAt(a.Signed.UnrecognizedFields)
	if err != nil || at.After(t.now.Add(time.Hour)) || a.Signed.Expires.Sub(at) > t.r.o.Expiry.Targets || a.Signed.Expires.Sub(t.now) < t.r.o.Expiry.Targets/2 {
		return false
	}
	return a.Signed.Version == b.Signed.Version && sameJSON(a.Signed.Targets, b.Signed.Targets) &&
		sameJSON(a.Signed.Delegations, b.Signed.Delegations)
}

// Unstage drops the staged change of role. errs.NotFound when nothing is staged.
// It needs no readable metadata.
func (r *Repository) Unstage(ctx context.Context, role string) error {
	for {
		names, rev, err := r.files.List(ctx)
		if err != nil {
			return fmt.Errorf("unstage %s: %w", role, err)
		}
		var rest []string
		for _, name := range names {
			if file, ok := cutStaged(name); ok {
				rest = append(rest, file)
			}
		}
		var drop []Change
		for _, v := range trust.Versions(rest, role) {
			drop = append(drop, Change{Name: StagedDir + trust.WireName(role, v)})
		}
		if len(drop) == 0 {
			return fmt.Errorf("unstage %s: %w", role, nothingStaged())
		}
		_, err = r.files.Commit(ctx, rev, drop)
		if errors.Is(err, ErrMoved) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return fmt.Errorf("unstage %s: %w", role, err)
		}
		return nil
	}
}

func nothingStaged() error {
	return errs.Hint(errs.Errorf(errs.NotFound, "no change waits for signatures"), "overland trust show lists those that do")
}
