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

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
)

// AddSigner lets pub sign for role ("root", "timestamp", "channel/live"), with the new threshold (0: as it is, 1 for a
// new role). A role that was not delegated yet is, with pub as its only signer. errs.Partial when the change waits for
// signatures.
func (r *Repository) AddSigner(ctx context.Context, role string, pub trust.PublicKey, threshold int) error {
	if len(pub.Key) == 0 {
		return errs.Errorf(errs.Invalid, "add a signer of %s: no key", role)
	}
	return r.changeSigners(ctx, role, pub, func(ids *[]string, have *int, keys map[string]*metadata.Key) error {
		if threshold > 0 {
			*have = threshold
		}
		return addKey(keys, ids, pub)
	})
}

// RemoveSigner takes the key keyID from role, with the new threshold (0: as it is). errs.NotFound when it is no signer.
func (r *Repository) RemoveSigner(ctx context.Context, role, keyID string, threshold int) error {
	return r.changeSigners(ctx, role, trust.PublicKey{}, func(ids *[]string, have *int, _ map[string]*metadata.Key) error {
		i := slices.Index(*ids, keyID)
		if i < 0 {
			return errs.Hint(errs.Errorf(errs.NotFound, "key %s does not sign for %s", trust.Clip(keyID), role), "overland trust show lists who does")
		}
		*ids = slices.Delete(slices.Clone(*ids), i, i+1)
		if threshold > 0 {
			*have = threshold
		}
		return nil
	})
}

type signerChange func(ids *[]string, threshold *int, keys map[string]*metadata.Key) error

// changeSigners changes who signs for role. first signs for a role that was not delegated yet.
func (r *Repository) changeSigners(ctx context.Context, role string, first trust.PublicKey, change signerChange) error {
	what := "signers of " + role
	if trust.TopLevel(role) {
		return r.editRoot(ctx, what, func(root *trust.RootMetadata) error {
			d := root.Signed.Roles[role]
			if err := change(&d.KeyIDs, &d.Threshold, root.Signed.Keys); err != nil {
				return err
			}
			return checkThreshold(role, d.KeyIDs, d.Threshold)
		})
	}
	if err := checkRole(role); err != nil {
		return err
	}
	return r.edit(ctx, what, func(s *state, now time.Time) (map[string]*trust.TargetsMetadata, error) {
		var top *trust.TargetsMetadata
		var err error
		if trust.Delegation(s.top(), role) != nil {
			top, err = r.nextTop(s, now)
		} else if first.ID == "" {
			return nil, errs.Hint(errs.Errorf(errs.NotFound, "no such role"), "overland trust show lists the roles")
		} else {
			top, err = r.delegate(s, now, role, first)
		}
		if err != nil {
			return nil, err
		}
		d := trust.Delegation(top, role)
		if err := change(&d.KeyIDs, &d.Threshold, top.Signed.Delegations.Keys); err != nil {
			return nil, err
		}
		if err := checkThreshold(role, d.KeyIDs, d.Threshold); err != nil {
			return nil, err
		}
		prune(top.Signed.Delegations)
		return r.resigned(s, now, top)
	})
}

// resigned returns top and, as next versions, every role that top no longer accepts as it is signed.
func (r *Repository) resigned(s *state, now time.Time, top *trust.TargetsMetadata) (map[string]*trust.TargetsMetadata, error) {
	proposed := map[string]*trust.TargetsMetadata{metadata.TARGETS: top}
	after := s.with(proposed)
	for role, m := range s.roles {
		if role != metadata.TARGETS && after.verify(role, m) != nil {
			proposed[role] = r.next(m, now)
		}
	}
	return proposed, nil
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

// RotateKey makes a new key in place of the key name, wherever it signs, and puts the old one aside as
// retired/NAME-ID. It may be repeated when it was cut off or returned errs.Partial: it goes on where it was.
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
	err = r.edit(ctx, "rotate key "+name, func(s *state, now time.Time) (map[string]*trust.TargetsMetadata, error) {
		top, err := r.nextTop(s, now)
		if err != nil {
			return nil, err
		}
		used := false
		for i := range top.Signed.Delegations.Roles {
			in, err := swap(&top.Signed.Delegations.Roles[i].KeyIDs, top.Signed.Delegations.Keys)
			if err != nil {
				return nil, err
			}
			used = used || in
		}
		if !used {
			return nil, nil
		}
		prune(top.Signed.Delegations)
		return r.resigned(s, now, top)
	})
	if err != nil {
		return trust.PublicKey{}, err
	}
	err = r.editRoot(ctx, "rotate key "+name, func(root *trust.RootMetadata) error {
		for _, d := range root.Signed.Roles {
			if _, err := swap(&d.KeyIDs, root.Signed.Keys); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return trust.PublicKey{}, err
	}
	return next, r.keys.Retire(name, old)
}

// editRoot makes the next root version, when change changes anything, and publishes or stages it.
func (r *Repository) editRoot(ctx context.Context, what string, change func(*trust.RootMetadata) error) error {
	s, now, unlock, err := r.begin(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer unlock()
	root, err := cloneRoot(s.root)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := change(root); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if sameJSON(root.Signed, s.root.Signed) {
		return nil
	}
	maps.DeleteFunc(root.Signed.Keys, func(id string, _ *metadata.Key) bool {
		for _, d := range root.Signed.Roles {
			if slices.Contains(d.KeyIDs, id) {
				return false
			}
		}
		return true
	})
	root.Signed.Version++
	root.Signed.Expires = now.Add(r.o.Expiry.Root)
	root.Signed.UnrecognizedFields = stamp(root.Signed.UnrecognizedFields, now)
	root.Signatures = nil
	staged, err := r.stagedRoot(s)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if staged != nil {
		if !sameJSON(staged.Signed.Roles, root.Signed.Roles) {
			err := errs.Errorf(errs.Conflict, "%s: another change of root waits for signatures", what)
			return errs.Hint(err, "overland trust sign root approves it, overland trust unstage root drops it")
		}
		root = staged
	}
	if err := r.settleRoot(s, now, root); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func cloneRoot(root *trust.RootMetadata) (*trust.RootMetadata, error) {
	b, err := root.ToBytes(false)
	if err != nil {
		return nil, err
	}
	return trust.ParseRoot(b)
}

// stagedRoot returns the root that waits for signatures, nil when there is none.
func (r *Repository) stagedRoot(s *state) (*trust.RootMetadata, error) {
	b, err := fsx.ReadFile(r.stagedPath(metadata.ROOT, s.root.Signed.Version+1), trust.MaxRoot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := trust.ParseRoot(b)
	return root, errs.Hint(err, "overland trust unstage root drops the damaged change")
}

func (r *Repository) signRoot(ctx context.Context) error {
	s, now, unlock, err := r.begin(ctx)
	if err != nil {
		return fmt.Errorf("sign root: %w", err)
	}
	defer unlock()
	root, err := r.stagedRoot(s)
	if err != nil {
		return fmt.Errorf("sign root: %w", err)
	}
	if root == nil {
		return fmt.Errorf("sign root: %w", nothingStaged())
	}
	if err := r.settleRoot(s, now, root); err != nil {
		return fmt.Errorf("sign root: %w", err)
	}
	return nil
}

// settleRoot signs root and publishes it, or stages it when the old root's or the new one's threshold is not met.
func (r *Repository) settleRoot(s *state, now time.Time, root *trust.RootMetadata) error {
	ids := append(slices.Clone(s.root.Signed.Roles[metadata.ROOT].KeyIDs), root.Signed.Roles[metadata.ROOT].KeyIDs...)
	if _, err := sign(r.keys, root, ids); err != nil {
		return err
	}
	if s.root.VerifyDelegate(metadata.ROOT, root) == nil && root.VerifyDelegate(metadata.ROOT, root) == nil {
		if err := r.publishRoot(s, now, root); err != nil {
			return err
		}
		return r.o.FS.Remove(r.stagedPath(metadata.ROOT, root.Signed.Version))
	}
	if err := r.stage(metadata.ROOT, root.Signed.Version, root); err != nil {
		return err
	}
	err := errs.Errorf(errs.Partial, "root %d: %w", root.Signed.Version, ErrStaged)
	return errs.Hint(err, "the other root signers run: overland trust sign root")
}

// publishRoot makes root the newest. A new root holds for nodes the moment that its file is there, so what it would no
// longer accept is signed for the old and the new keys before: then nodes see no moment at which nothing verifies.
func (r *Repository) publishRoot(s *state, now time.Time, root *trust.RootMetadata) error {
	after := *s
	after.root = root
	stale := func(s *state) bool {
		return s.verify(metadata.TARGETS, s.top()) != nil || s.verify(metadata.SNAPSHOT, s.snapshot) != nil ||
			s.verify(metadata.TIMESTAMP, s.timestamp) != nil
	}
	if stale(&after) {
		if err := r.canSign(root); err != nil {
			return err
		}
		changed := map[string]*trust.TargetsMetadata{metadata.TARGETS: r.next(s.top(), now)}
		// Without the old keys (they were lost, or it is why they are replaced) the new root comes first.
		if err := r.publish(s, now, changed, root); err != nil && errs.KindOf(err) != errs.Denied && !errors.Is(err, trust.ErrSignature) {
			return err
		}
	}
	if err := r.write(trust.WireName(metadata.ROOT, root.Signed.Version), root); err != nil {
		return err
	}
	if err := r.newRoot(root); err != nil {
		return err
	}
	written, err := r.load()
	if err != nil {
		return err
	}
	if stale(written) {
		return r.publish(written, now, map[string]*trust.TargetsMetadata{metadata.TARGETS: r.next(written.top(), now)}, nil)
	}
	return nil
}

// canSign returns an error unless this machine can sign the three roles that root speaks of: publishing root without
// that would leave nodes with nothing that verifies.
func (r *Repository) canSign(root *trust.RootMetadata) error {
	for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		d, have := root.Signed.Roles[role], 0
		for _, id := range d.KeyIDs {
			if k, err := r.keys.ByID(id); err != nil {
				return err
			} else if k != nil {
				have++
			}
		}
		if have < d.Threshold {
			return errs.Errorf(errs.Denied, "%s must be signed anew by %d of its keys, and %d are here", role, d.Threshold, have)
		}
	}
	return nil
}
