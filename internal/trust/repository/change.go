package repository

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/trust"
)

var roleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,3}$`)

// checkRole returns an error unless role may be delegated to. What it refuses would
// be a pattern, or hide in a path.
func checkRole(role string) error {
	if trust.TopLevel(role) || len(role) > 128 || !roleName.MatchString(role) {
		return errs.Errorf(errs.Invalid, "role %.100q: names are like app/wallet or channel/live", role)
	}
	return nil
}

// SetTargets changes what role ("app/wallet") says and publishes it: role, snapshot, then
// timestamp, which makes it hold. The delegation is made on first use, for paths role+"/*". change
// is given the state that it is applied to, and role's part of it to change; when another writer
// was first it is called again, with what that one has left. Its error is returned as it is, and
// nothing is changed then. A change that changes nothing writes nothing. Errors do not name role: the
// caller knows what a person calls it.
//
// When this machine's keys are fewer than the role's threshold the change is staged: errs.Partial,
// wrapping ErrStaged; the same change made with other keys, or Sign, adds their signatures.
// errs.Conflict when another change is staged.
func (r *Repository) SetTargets(ctx context.Context, role string, change func(now trust.Signed, t map[string]trust.TargetFile) error) error {
	if err := checkRole(role); err != nil {
		return err
	}
	return r.update(ctx, "", func(t *tx) error {
		t.about = role
		current := t.s.roles[role]
		if current == nil {
			current = metadata.Targets(t.now)
			current.Signed.Version = 0
		}
		before := trust.FilesOf(current)
		after := maps.Clone(before)
		if err := change(t.s, after); err != nil {
			return err
		}
		targets, err := checkTargets(role, after)
		if err != nil {
			return err
		}
		if t.s.roles[role] != nil && sameJSON(before, after) {
			return nil
		}
		proposed := map[string]*trust.TargetsMetadata{role: t.next(current)}
		proposed[role].Signed.Targets = targets
		if trust.Delegation(t.s.top(), role) == nil {
			if isFallback(role) {
				return NoFallback(role)
			}
			pub, err := havingKey(t.r.keys, defaultKey(role))
			if err != nil {
				return err
			}
			if proposed[metadata.TARGETS], err = t.delegate(role, pub); err != nil {
				return err
			}
		}
		return t.commit(proposed)
	})
}

// defaultKey returns the name of the key that signs for role when nobody said otherwise.
func defaultKey(role string) string {
	switch first, _, _ := strings.Cut(role, "/"); first {
	case "app":
		return KeyRelease
	case "channel":
		return KeyPromote
	}
	return KeyTargets
}

// delegate returns the next version of targets, with a delegation to role that pub signs.
func (t *tx) delegate(role string, pub trust.PublicKey) (*trust.TargetsMetadata, error) {
	top, err := t.nextTop()
	if err != nil {
		return nil, err
	}
	d := metadata.DelegatedRole{Name: role, Threshold: 1, Terminating: true, Paths: []string{role + "/*"}}
	if err := addKey(top.Signed.Delegations.Keys, &d.KeyIDs, pub); err != nil {
		return nil, err
	}
	top.Signed.Delegations.Roles = append(top.Signed.Delegations.Roles, d)
	return top, nil
}

// nextTop returns the next version of targets, with delegations that can be changed.
func (t *tx) nextTop() (*trust.TargetsMetadata, error) {
	b, err := t.s.top().ToBytes(false)
	if err != nil {
		return nil, err
	}
	top, err := trust.ParseTargets(b, metadata.TARGETS)
	if err != nil {
		return nil, err
	}
	if top.Signed.Delegations == nil {
		top.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
	}
	return t.next(top), nil
}

// checkTargets returns files as TUF writes them, or an error when a node would not find one.
func checkTargets(role string, files map[string]trust.TargetFile) (map[string]*metadata.TargetFiles, error) {
	out := map[string]*metadata.TargetFiles{}
	for path, f := range files {
		last, ok := strings.CutPrefix(path, role+"/")
		if !ok || last == "" || strings.Contains(last, "/") || len(path) > trust.LongestName {
			return nil, errs.Errorf(errs.Invalid, "target %.100q: role %s speaks of %s/NAME only", path, role, role)
		}
		d, err := digest.Parse(string(f.Digest))
		if err != nil || f.Size < 0 {
			return nil, errs.Errorf(errs.Invalid, "target %s: no valid digest and size", path)
		}
		raw, err := hex.DecodeString(d.Encoded())
		if err != nil {
			return nil, err
		}
		t := &metadata.TargetFiles{Length: f.Size, Hashes: metadata.Hashes{"sha256": raw}, Path: path}
		if f.Custom != nil {
			if !json.Valid(f.Custom) {
				return nil, errs.Errorf(errs.Invalid, "target %s: custom is not JSON", path)
			}
			custom := slices.Clone(f.Custom)
			t.Custom = &custom
		}
		out[path] = t
	}
	return out, nil
}
