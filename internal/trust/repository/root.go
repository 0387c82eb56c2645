package repository

import (
	"errors"
	"maps"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/trust"
)

// changeRoot makes the next root version, when change changes anything, and publishes or stages it.
func (t *tx) changeRoot(change func(*trust.RootMetadata) error) error {
	root, err := cloneRoot(t.s.root)
	if err != nil {
		return err
	}
	if err := change(root); err != nil {
		return err
	}
	if sameJSON(root.Signed, t.s.root.Signed) {
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
	root.Signed.Expires = t.now.Add(t.r.o.Expiry.Root)
	root.Signed.UnrecognizedFields = stamp(root.Signed.UnrecognizedFields, t.now)
	root.Signatures = nil
	if t.s.rootErr != nil {
		return t.s.rootErr
	}
	if staged := t.s.newRoot; staged != nil {
		if !sameJSON(staged.Signed.Roles, root.Signed.Roles) {
			err := errs.Errorf(errs.Conflict, "another change of root waits for signatures")
			return errs.Hint(err, "overland trust sign root approves it, overland trust unstage root drops it")
		}
		root = signable(staged)
	}
	return t.commitRoot(root)
}

func cloneRoot(root *trust.RootMetadata) (*trust.RootMetadata, error) {
	b, err := root.ToBytes(false)
	if err != nil {
		return nil, err
	}
	return trust.ParseRoot(b)
}

// rootSigners returns the key ids of those who may sign the coming root:
// the old root's and the new one's.
func (s *State) rootSigners(root *trust.RootMetadata) []string {
	return append(slices.Clone(s.root.Signed.Roles[metadata.ROOT].KeyIDs), root.Signed.Roles[metadata.ROOT].KeyIDs...)
}

// commitRoot signs root and publishes it, or stages it when the old root's or the
// new one's threshold is not met.
func (t *tx) commitRoot(root *trust.RootMetadata) error {
	if _, err := sign(t.signer, root, t.s.rootSigners(root)); err != nil {
		return err
	}
	if t.s.root.VerifyDelegate(metadata.ROOT, root) == nil && root.VerifyDelegate(metadata.ROOT, root) == nil {
		if err := t.publishRoot(root); err != nil {
			return err
		}
		t.unstage(metadata.ROOT, root.Signed.Version)
		return nil
	}
	if err := t.propose(metadata.ROOT, root.Signed, &root.Signatures); err != nil {
		return err
	}
	if err := t.stage(metadata.ROOT, root.Signed.Version, root); err != nil {
		return err
	}
	err := errs.Errorf(errs.Partial, "root %d: %w", root.Signed.Version, ErrStaged)
	return errs.Hint(err, "the other root signers run: overland trust sign root")
}

// publishRoot makes root the newest. A new root holds for nodes the moment that its file is there,
// so what it would no longer accept is signed for the old and the new keys before: then nodes see
// no moment at which nothing verifies.
func (t *tx) publishRoot(root *trust.RootMetadata) error {
	after := *t.s
	after.root = root
	if after.stale() {
		if err := t.canSign(root); err != nil {
			return err
		}
		changed := map[string]*trust.TargetsMetadata{metadata.TARGETS: t.next(t.s.top())}
		// Without the old keys (they were lost, or it is why they are
		// replaced) the new root comes first.
		if err := t.publish(changed, root); err != nil && errs.KindOf(err) != errs.Denied && !errors.Is(err, trust.ErrSignature) {
			return err
		}
	}
	if err := t.putRoot(root); err != nil {
		return err
	}
	if t.s.stale() {
		return t.publish(map[string]*trust.TargetsMetadata{metadata.TARGETS: t.next(t.s.top())}, nil)
	}
	return nil
}

// stale reports whether the root of s no longer accepts one of the three roles that it speaks of.
func (s *State) stale() bool {
	return s.verify(metadata.TARGETS, s.top()) != nil || s.verify(metadata.SNAPSHOT, s.snapshot) != nil ||
		s.verify(metadata.TIMESTAMP, s.timestamp) != nil
}

// canSign returns an error unless this machine can sign the three roles that root speaks of:
// publishing root without that would leave nodes with nothing that verifies.
func (t *tx) canSign(root *trust.RootMetadata) error {
	for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		d := root.Signed.Roles[role]
		have, err := count(t.r.keys.ByID, d.KeyIDs)
		if err != nil {
			return err
		}
		if have < d.Threshold {
			return errs.Errorf(errs.Denied, "%s must be signed anew by %d of its keys, and %d are here", role, d.Threshold, have)
		}
	}
	return nil
}
