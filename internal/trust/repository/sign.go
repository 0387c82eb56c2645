package repository

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/trust"
)

// sign adds to m the signatures of those keys of ids that signer has. It returns how many it added.
func sign[T metadata.Roles](signer signerOf, m *metadata.Metadata[T], ids []string) (int, error) {
	payload, err := cjson.EncodeCanonical(m.Signed)
	if err != nil {
		return 0, fmt.Errorf("sign: %w", err)
	}
	added := 0
	for _, id := range ids {
		if signedBy(m.Signatures, id) {
			continue
		}
		key, err := signer(id)
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

func signedBy(sigs []metadata.Signature, id string) bool {
	return slices.ContainsFunc(sigs, func(s metadata.Signature) bool { return s.KeyID == id })
}

// signable returns a copy of m to which signatures can be added: a State never changes.
func signable[T metadata.Roles](m *metadata.Metadata[T]) *metadata.Metadata[T] {
	out := *m
	out.Signatures = slices.Clone(m.Signatures)
	return &out
}

// signOnline signs snapshot or timestamp m with the keys that are here.
func signOnline[T metadata.Roles](keys Keys, s *State, role string, m *metadata.Metadata[T], next *trust.RootMetadata) error {
	if _, err := sign(keys.ByID, m, s.signersAcross(role, next)); err != nil {
		return err
	}
	if err := s.verify(role, m); err != nil {
		err = errs.Errorf(errs.Denied, "sign %s: the key is not here, or locked: %w", role, err)
		return errs.Hint(err, "this machine needs the key of the role %s: overland key list", role)
	}
	return nil
}

// Sign adds signatures to the staged change of role ("root", "targets", "channel/live"), and
// publishes it when they suffice: those of signers, or of this repository's keys when none are
// given. errs.NotFound when nothing is staged, errs.Denied when no signer signs for role,
// errs.Partial when more are needed.
func (r *Repository) Sign(ctx context.Context, role string, signers ...trust.Signer) error {
	return r.SignExactly(ctx, role, "", signers...)
}

// SignExactly is Sign for the change whose payload has digest want, that the signer was shown:
// another one is not signed (errs.Conflict). "" is any.
func (r *Repository) SignExactly(ctx context.Context, role string, want digest.Digest, signers ...trust.Signer) error {
	return r.update(ctx, "sign "+role, func(t *tx) error {
		if _, err := t.s.Waiting(role, want); err != nil {
			return err
		}
		if len(signers) > 0 {
			t.signer = among(signers)
		}
		if role == metadata.ROOT {
			return t.signRoot()
		}
		return t.signRole(ctx, role)
	})
}

// Waiting returns the change of role that waits, if the digest of its payload is want; "" is any.
// errs.NotFound when none waits, errs.Denied when it is one that nobody is to sign, errs.Conflict
// when it is another one.
func (s *State) Waiting(role string, want digest.Digest) (Staged, error) {
	for _, x := range s.refused {
		if x.Role == role {
			err := errs.Errorf(errs.Denied, "the change of %s in version %d is not to be signed: %s", role, x.Version, x.Why)
			return Staged{}, errs.Hint(err, "overland trust unstage %s drops it", role)
		}
	}
	list, err := s.Staged()
	if err != nil {
		return Staged{}, err
	}
	i := slices.IndexFunc(list, func(st Staged) bool { return st.Role == role })
	if i < 0 {
		return Staged{}, nothingStaged()
	}
	if want != "" && list[i].Digest != want {
		err := errs.Errorf(errs.Conflict, "another change of %s waits now: its digest is %s", role, list[i].Digest)
		return Staged{}, errs.Hint(err, "overland trust show, then decide again")
	}
	return list[i], nil
}

func among(signers []trust.Signer) signerOf {
	return func(id string) (trust.Signer, error) {
		for _, s := range signers {
			if s.Public().ID == id {
				return s, nil
			}
		}
		return nil, nil
	}
}

func (t *tx) signRole(ctx context.Context, role string) error {
	m := signable(t.s.waiting[role])
	ids, _ := t.s.with(t.s.waiting).signersOf(role)
	if _, err := sign(t.signer, m, ids); err != nil {
		return err
	}
	if n, err := count(t.signer, ids); err != nil || n == 0 {
		if err != nil {
			return err
		}
		return errs.Hint(errs.Errorf(errs.Denied, "none of its signers' private keys is here"),
			"overland trust show lists the signers, overland key list the keys")
	}
	return t.keepSigned(ctx, role, m)
}

// signRoot signs the root that waits.
func (t *tx) signRoot() error {
	return t.commitRoot(signable(t.s.newRoot))
}

// keepSigned writes the signatures of m before it is published: they are people's work.
func (t *tx) keepSigned(ctx context.Context, role string, m *trust.TargetsMetadata) error {
	if err := t.stage(role, m.Signed.Version, m); err != nil {
		return err
	}
	if err := t.flush(ctx); err != nil {
		return err
	}
	return t.commit(map[string]*trust.TargetsMetadata{role: m})
}

// count returns with how many of the keys ids signer can sign.
func count(signer signerOf, ids []string) (n int, err error) {
	for _, id := range ids {
		k, err := signer(id)
		if err != nil {
			return n, err
		}
		if k != nil {
			n++
		}
	}
	return n, nil
}

// Signature is what a signer elsewhere made of a Staged.Payload.
type Signature struct {
	KeyID string
	Sig   []byte        // ed25519
	Over  digest.Digest // of the payload that was shown; "" is any
}

// AddSignature adds one signature to the staged change of role and publishes it when its
// signatures suffice; errors are those of SignExactly and State.CheckSignature, and after one of
// these nothing is changed.
func (r *Repository) AddSignature(ctx context.Context, role string, sig Signature) error {
	return r.update(ctx, "sign "+role, func(t *tx) error {
		t.signer = among(nil) // a machine that carries a signature approves nothing itself
		if err := t.s.CheckSignature(role, sig); err != nil {
			return err
		}
		add := metadata.Signature{KeyID: sig.KeyID, Signature: sig.Sig}
		if role == metadata.ROOT {
			root := signable(t.s.newRoot)
			if !signedBy(root.Signatures, sig.KeyID) {
				root.Signatures = append(root.Signatures, add)
			}
			return t.commitRoot(root)
		}
		m := signable(t.s.waiting[role])
		if !signedBy(m.Signatures, sig.KeyID) {
			m.Signatures = append(m.Signatures, add)
		}
		return t.keepSigned(ctx, role, m)
	})
}

// CheckSignature returns an error unless sig is one that AddSignature takes: errs.Denied when the
// key does not sign for role, errs.Untrusted when the signature is not over what waits.
func (s *State) CheckSignature(role string, sig Signature) error {
	st, err := s.Waiting(role, sig.Over)
	if err != nil {
		return err
	}
	if !slices.Contains(st.Signers, sig.KeyID) {
		return errs.Hint(errs.Errorf(errs.Denied, "key %.100s does not sign for %s", sig.KeyID, st.Role), "overland trust show lists the signers")
	}
	key, err := s.keyOf(sig.KeyID).ToPublicKey()
	if err != nil {
		return errs.E(errs.Untrusted, err)
	}
	pub, ok := key.(ed25519.PublicKey)
	if !ok || !ed25519.Verify(pub, st.Payload, sig.Sig) {
		return errs.Hint(errs.Errorf(errs.Untrusted, "the signature of %.100s is not over version %d of %s that waits now", sig.KeyID, st.Version, st.Role),
			"sign the payload of what is staged now")
	}
	return nil
}

// keyOf returns the key id from wherever a delegator of this state, or
// of what is staged in it, has it.
func (s *State) keyOf(id string) *metadata.Key {
	roots := []*trust.RootMetadata{s.root, s.newRoot}
	for _, root := range roots {
		if root != nil && root.Signed.Keys[id] != nil {
			return root.Signed.Keys[id]
		}
	}
	for _, top := range []*trust.TargetsMetadata{s.top(), s.waiting[metadata.TARGETS]} {
		if top != nil && top.Signed.Delegations != nil && top.Signed.Delegations.Keys[id] != nil {
			return top.Signed.Delegations.Keys[id]
		}
	}
	return &metadata.Key{}
}

// waits returns the error that says that roles are staged; failed is why what has its
// signatures could not be published.
func (t *tx) waits(roles []string, failed error) error {
	names := ""
	if !slices.Equal(roles, []string{t.about}) {
		names = strings.Join(roles, ", ") + ": "
	}
	if t.replaced {
		names += "it takes the place of another change that waited: "
	}
	if failed != nil {
		err := errs.Errorf(errs.Partial, "%ssigned here and %w: %w", names, ErrStaged, failed)
		return errs.Hint(err, "on the machine with the online key: overland trust refresh")
	}
	err := errs.Errorf(errs.Partial, "%s%w", names, ErrStaged)
	return errs.Hint(err, "the other signers run: overland trust sign %s", strings.Join(roles, "; overland trust sign "))
}

func sameJSON(a, b any) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && string(x) == string(y)
}
