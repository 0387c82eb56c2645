package repository

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/trust"
)

// AddSigner lets pub sign for role ("root", "timestamp", "channel/live"), with the new threshold
// (0: as it is, 1 for a new role). A role that was not delegated yet is, with pub as its only
// signer. A channel that needs more than one signature counts people: the machine's own keys leave it.
// errs.Partial when the change waits for signatures.
func (r *Repository) AddSigner(ctx context.Context, role string, pub trust.PublicKey, threshold int) error {
	if len(pub.Key) == 0 {
		return errs.Errorf(errs.Invalid, "add a signer of %s: no key", role)
	}
	return r.changeSigners(ctx, role, pub, func(s *State, ids *[]string, have *int, keys map[string]*metadata.Key) error {
		if threshold > 0 {
			*have = threshold
		}
		if err := addKey(keys, ids, pub); err != nil {
			return err
		}
		if strings.HasPrefix(role, "channel/") && *have > 1 {
			return r.countPersons(s, role, ids, *have)
		}
		return nil
	})
}

// countPersons takes the keys with which a machine signs by itself out of ids: those that sign targets,
// snapshot and timestamp in s, and this machine's own.
func (r *Repository) countPersons(s *State, role string, ids *[]string, threshold int) error {
	var machine []string
	for _, online := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		signers, _ := s.signersOf(online)
		machine = append(machine, signers...)
	}
	for _, name := range []string{KeyPromote, KeyRelease, KeyTargets, KeyOnline} {
		if pub, err := r.keys.Public(name); err == nil {
			machine = append(machine, pub.ID)
		}
	}
	left := slices.DeleteFunc(slices.Clone(*ids), func(id string) bool { return slices.Contains(machine, id) })
	if len(left) < threshold {
		err := errs.Errorf(errs.Invalid, "%s: %d signatures are wanted, and %d of its signers are people: a machine's own key does not count", role, threshold, len(left))
		return errs.Hint(err, "add people's keys first: overland trust add-signer %s KEY", role)
	}
	*ids = left
	return nil
}

// RemoveSigner takes the key keyID from role, with the new threshold (0: as it is).
// errs.NotFound when it is not a signer.
func (r *Repository) RemoveSigner(ctx context.Context, role, keyID string, threshold int) error {
	return r.changeSigners(ctx, role, trust.PublicKey{}, func(_ *State, ids *[]string, have *int, _ map[string]*metadata.Key) error {
		i := slices.Index(*ids, keyID)
		if i < 0 {
			return errs.Hint(errs.Errorf(errs.NotFound, "key %.100s does not sign for %s", keyID, role), "overland trust show lists who does")
		}
		*ids = slices.Delete(slices.Clone(*ids), i, i+1)
		if threshold > 0 {
			*have = threshold
		}
		return nil
	})
}

// signerChange changes who signs for one role, and how many must, in the state s.
type signerChange func(s *State, ids *[]string, threshold *int, keys map[string]*metadata.Key) error

// changeSigners changes who signs for role. first signs for a role that was not delegated yet.
func (r *Repository) changeSigners(ctx context.Context, role string, first trust.PublicKey, change signerChange) error {
	what := "signers of " + role
	if trust.TopLevel(role) {
		return r.update(ctx, what, func(t *tx) error {
			return t.changeRoot(func(root *trust.RootMetadata) error {
				d := root.Signed.Roles[role]
				if err := change(t.s, &d.KeyIDs, &d.Threshold, root.Signed.Keys); err != nil {
					return err
				}
				return checkThreshold(role, d.KeyIDs, d.Threshold)
			})
		})
	}
	if err := checkRole(role); err != nil {
		return err
	}
	if isFallback(role) {
		return errs.Hint(errs.Errorf(errs.Invalid, "%s: its signers are those of the channel", role), "change those of channel/%s", strings.TrimPrefix(role, "fallback/"))
	}
	return r.update(ctx, what, func(t *tx) error {
		var top *trust.TargetsMetadata
		var err error
		if trust.Delegation(t.s.top(), role) != nil {
			top, err = t.nextTop()
		} else if first.ID == "" {
			return errs.Hint(errs.Errorf(errs.NotFound, "no such role"), "overland trust show lists the roles")
		} else {
			top, err = t.delegate(role, first)
		}
		if err != nil {
			return err
		}
		d := trust.Delegation(top, role)
		if err := change(t.s, &d.KeyIDs, &d.Threshold, top.Signed.Delegations.Keys); err != nil {
			return err
		}
		if err := checkThreshold(role, d.KeyIDs, d.Threshold); err != nil {
			return err
		}
		keepFallback(top, role)
		prune(top.Signed.Delegations)
		return t.commit(t.resigned(top))
	})
}

// resigned returns top and, as next versions, every role that top no
// longer accepts as it is signed.
func (t *tx) resigned(top *trust.TargetsMetadata) map[string]*trust.TargetsMetadata {
	proposed := map[string]*trust.TargetsMetadata{metadata.TARGETS: top}
	after := t.s.with(proposed)
	for role, m := range t.s.roles {
		if role != metadata.TARGETS && after.verify(role, m) != nil {
			proposed[role] = t.next(m)
		}
	}
	return proposed
}

func checkThreshold(role string, ids []string, threshold int) error {
	if threshold < 1 || threshold > len(ids) {
		return errs.Hint(errs.Errorf(errs.Invalid, "%s: needs %d signatures and would have %d signers", role, threshold, len(ids)),
			"add signers first (overland trust add-signer %s KEY), or ask for fewer signatures (--threshold)", role)
	}
	return nil
}

// prune drops keys that no delegation names.
func prune(d *metadata.Delegations) {
	maps.DeleteFunc(d.Keys, func(id string, _ *metadata.Key) bool {
		return !slices.ContainsFunc(d.Roles, func(r metadata.DelegatedRole) bool { return slices.Contains(r.KeyIDs, id) })
	})
}

// RotateKey makes a new key in place of the key name, wherever it signs, and puts the old
// one aside as retired/NAME-ID. It may be repeated when it was cut off or returned
// errs.Partial: it goes on where it was.
func (r *Repository) RotateKey(ctx context.Context, name string, passphrase []byte) (trust.PublicKey, error) {
	old, err := r.keys.Public(name)
	if err != nil {
		return trust.PublicKey{}, err
	}
	next, err := r.keys.Successor(name, passphrase)
	if err != nil {
		return trust.PublicKey{}, fmt.Errorf("rotate key %s: %w", name, err)
	}
	swap := func(ids *[]string, keys map[string]*metadata.Key) (bool, error) {
		i := slices.Index(*ids, old.ID)
		if i < 0 {
			return false, nil
		}
		*ids = slices.Delete(slices.Clone(*ids), i, i+1)
		return true, addKey(keys, ids, next)
	}
	what := "rotate key " + name
	err = r.update(ctx, what, func(t *tx) error {
		top, err := t.nextTop()
		if err != nil {
			return err
		}
		used := false
		for i := range top.Signed.Delegations.Roles {
			in, err := swap(&top.Signed.Delegations.Roles[i].KeyIDs, top.Signed.Delegations.Keys)
			if err != nil {
				return err
			}
			used = used || in
		}
		if !used {
			return nil
		}
		prune(top.Signed.Delegations)
		return t.commit(t.resigned(top))
	})
	if err != nil {
		return trust.PublicKey{}, err
	}
	err = r.update(ctx, what, func(t *tx) error {
		return t.changeRoot(func(root *trust.RootMetadata) error {
			for _, d := range root.Signed.Roles {
				if _, err := swap(&d.KeyIDs, root.Signed.Keys); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return trust.PublicKey{}, err
	}
	return next, r.keys.Retire(name, old)
}
