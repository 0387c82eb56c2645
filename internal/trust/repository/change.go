package repository

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
)

var roleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,3}$`)

// checkRole returns an error unless role may be delegated to. What it refuses would be a pattern, or hide in a path.
func checkRole(role string) error {
	if trust.TopLevel(role) || len(role) > 128 || !roleName.MatchString(role) {
		return errs.Errorf(errs.Invalid, "role %q: names are like app/wallet or channel/live", trust.Clip(role))
	}
	return nil
}

// SetTargets changes what role ("app/wallet") says and publishes it: role, snapshot, then timestamp, which makes it
// hold. The delegation is made on first use, for paths role+"/*". change sees the state that the change is applied to,
// under the lock; its error is returned as it is, and nothing is changed. A change that changes nothing writes nothing.
//
// When this machine's keys are fewer than the role's threshold the change is staged: errs.Partial, wrapping ErrStaged;
// the same change made with other keys, or Sign, adds their signatures. errs.Conflict when another change is staged.
func (r *Repository) SetTargets(ctx context.Context, role string, change func(t map[string]trust.TargetFile) error) error {
	if err := checkRole(role); err != nil {
		return err
	}
	return r.edit(ctx, "set targets of "+role, func(s *state, now time.Time) (map[string]*trust.TargetsMetadata, error) {
		current := s.roles[role]
		if current == nil {
			current = metadata.Targets(now)
			current.Signed.Version = 0
		}
		before := trust.FilesOf(current)
		after := maps.Clone(before)
		if err := change(after); err != nil {
			return nil, err
		}
		targets, err := checkTargets(role, after)
		if err != nil {
			return nil, err
		}
		if s.roles[role] != nil && sameJSON(before, after) {
			return nil, nil
		}
		proposed := map[string]*trust.TargetsMetadata{role: r.next(current, now)}
		proposed[role].Signed.Targets = targets
		if trust.Delegation(s.top(), role) == nil {
			pub, err := r.defaultKey(role)
			if err != nil {
				return nil, err
			}
			if proposed[metadata.TARGETS], err = r.delegate(s, now, role, pub); err != nil {
				return nil, err
			}
		}
		return proposed, nil
	})
}

// begin takes the lock and returns the newest state and the time to sign at. The caller calls unlock when err is nil.
func (r *Repository) begin(ctx context.Context) (s *state, now time.Time, unlock func(), err error) {
	if unlock, err = r.lock(ctx); err != nil {
		return nil, time.Time{}, nil, err
	}
	if s, err = r.load(); err == nil {
		now, err = r.now(s)
	}
	if err != nil {
		unlock()
		return nil, time.Time{}, nil, err
	}
	return s, now, unlock, nil
}

// edit runs one change: under the lock, on the newest state, published or staged.
func (r *Repository) edit(ctx context.Context, what string, change func(*state, time.Time) (map[string]*trust.TargetsMetadata, error)) error {
	s, now, unlock, err := r.begin(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer unlock()
	proposed, err := change(s, now)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if len(proposed) == 0 {
		return nil
	}
	if err := r.settle(s, now, proposed); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// defaultKey returns the key that signs for role when nobody said otherwise; it is made when missing.
func (r *Repository) defaultKey(role string) (trust.PublicKey, error) {
	name := KeyTargets
	switch first, _, _ := strings.Cut(role, "/"); first {
	case "app":
		name = KeyRelease
	case "channel":
		name = KeyPromote
	}
	pub, err := r.keys.Public(name)
	if errs.KindOf(err) == errs.NotFound {
		return r.keys.New(name, nil)
	}
	return pub, err
}

// delegate returns the next version of targets, with a delegation to role that pub signs.
func (r *Repository) delegate(s *state, now time.Time, role string, pub trust.PublicKey) (*trust.TargetsMetadata, error) {
	top, err := r.nextTop(s, now)
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
func (r *Repository) nextTop(s *state, now time.Time) (*trust.TargetsMetadata, error) {
	b, err := s.top().ToBytes(false)
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
	return r.next(top, now), nil
}

// checkTargets returns files as TUF writes them, or an error when a node would not find one.
func checkTargets(role string, files map[string]trust.TargetFile) (map[string]*metadata.TargetFiles, error) {
	out := map[string]*metadata.TargetFiles{}
	for path, f := range files {
		last, ok := strings.CutPrefix(path, role+"/")
		if !ok || last == "" || strings.Contains(last, "/") || len(path) > trust.LongestName {
			return nil, errs.Errorf(errs.Invalid, "target %q: role %s speaks of %s/NAME only", trust.Clip(path), role, role)
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
				return nil, errs.Errorf(errs.Invalid, "target %s: custom is no JSON", path)
			}
			custom := slices.Clone(f.Custom)
			t.Custom = &custom
		}
		out[path] = t
	}
	return out, nil
}

// Targets returns what role says now; an unknown role says nothing.
func (r *Repository) Targets(role string) (map[string]trust.TargetFile, error) {
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	if m := s.roles[role]; m != nil {
		return trust.FilesOf(m), nil
	}
	return map[string]trust.TargetFile{}, nil
}

// History returns the published versions of role, the newest first.
func (r *Repository) History(role string) ([]trust.Version, error) {
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	if s.roles[role] == nil {
		return nil, nil
	}
	numbers, err := trust.VersionsIn(r.dir, role)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", role, err)
	}
	var out []trust.Version
	for _, v := range slices.Backward(numbers) {
		if v > s.roles[role].Signed.Version {
			continue // left by a change that was cut off
		}
		b, err := fsx.ReadFile(r.path(trust.WireName(role, v)), trust.MaxTargets)
		if err != nil {
			return nil, fmt.Errorf("history of %s: %w", role, err)
		}
		m, err := trust.ParseTargets(b, role)
		if err != nil {
			return nil, fmt.Errorf("history of %s: version %d: %w", role, v, err)
		}
		at, err := trust.SignedAt(m.Signed.UnrecognizedFields)
		if err != nil {
			return nil, fmt.Errorf("history of %s: version %d: %w", role, v, err)
		}
		out = append(out, trust.Version{Version: v, SignedAt: at, Targets: trust.FilesOf(m)})
	}
	return out, nil
}
