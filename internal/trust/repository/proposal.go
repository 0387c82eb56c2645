package repository

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/trust"
)

// proposed reports whether a staged file may be shown to signers: a key that the published metadata
// names, or top when that is staged and may itself be shown, has signed it, and it is valid for no
// longer than nodes accept. Whoever can write here and has no key is not to put words before signers.
func (s *State) proposed(role string, version int64, fields map[string]any, expires time.Time,
	signed any, sigs []metadata.Signature, top *trust.TargetsMetadata,
) bool {
	reject := func(why string) bool {
		s.refused = append(s.refused, Rejected{Role: role, Version: version, Why: why})
		return false
	}
	payload, err := cjson.EncodeCanonical(signed)
	if err != nil {
		return reject(err.Error())
	}
	if len(valid(payload, sigs, s.known(top))) == 0 {
		return reject("no known key has signed it")
	}
	if err := trust.CheckLifetime(role, fields, expires, time.Time{}); err != nil {
		return reject(err.Error())
	}
	if err := shownWhole(signed); err != nil {
		return reject(err.Error())
	}
	return true
}

// shownWhole returns an error when a change would do more than signers are shown: they see roles by
// name, keys by id and how many must sign. So a key bears its own id, a role is there once and speaks
// of its own paths, as this package writes them.
func shownWhole(signed any) error {
	switch m := signed.(type) {
	case metadata.RootType:
		if !m.ConsistentSnapshot {
			return errs.Errorf(errs.Untrusted, "it turns consistent snapshots off")
		}
		return ownIDs(m.Keys)
	case metadata.TargetsType:
		if m.Delegations == nil {
			return nil
		}
		if m.Delegations.SuccinctRoles != nil {
			return errs.Errorf(errs.Untrusted, "it delegates to hashed bins")
		}
		seen := map[string]bool{}
		for _, d := range m.Delegations.Roles {
			if seen[d.Name] {
				return errs.Errorf(errs.Untrusted, "role %.100q is there twice", d.Name)
			}
			seen[d.Name] = true
			if !d.Terminating || len(d.PathHashPrefixes) > 0 || !slices.Equal(d.Paths, []string{d.Name + "/*"}) {
				return errs.Errorf(errs.Untrusted, "role %.100q is not for %.100s/* alone", d.Name, d.Name)
			}
		}
		return ownIDs(m.Delegations.Keys)
	}
	return nil
}

// ownIDs returns an error when one of keys stands under another key's id.
func ownIDs(keys map[string]*metadata.Key) error {
	for id, k := range keys {
		key, err := k.ToPublicKey()
		pub, ok := key.(ed25519.PublicKey)
		if err != nil || !ok {
			return errs.Errorf(errs.Untrusted, "key %.100s is not an ed25519 key", id)
		}
		if own, err := trust.NewPublicKey(pub); err != nil || own.ID != id {
			return errs.Errorf(errs.Untrusted, "another key stands under the id %.100s", id)
		}
	}
	return nil
}

// known returns every key that the published root and targets name, and those that top names.
func (s *State) known(top *trust.TargetsMetadata) map[string]*metadata.Key {
	out := maps.Clone(s.root.Signed.Keys)
	for _, m := range []*trust.TargetsMetadata{s.top(), top} {
		if m != nil && m.Signed.Delegations != nil {
			maps.Copy(out, m.Signed.Delegations.Keys)
		}
	}
	return out
}

// valid returns those sigs over payload that verify with one of keys, the first of each key.
func valid(payload []byte, sigs []metadata.Signature, keys map[string]*metadata.Key) []metadata.Signature {
	var out []metadata.Signature
	for _, sig := range sigs {
		k := keys[sig.KeyID]
		if k == nil || signedBy(out, sig.KeyID) {
			continue
		}
		key, err := k.ToPublicKey()
		pub, ok := key.(ed25519.PublicKey)
		if err == nil && ok && ed25519.Verify(pub, payload, sig.Signature) {
			out = append(out, sig)
		}
	}
	return out
}

// dropInvalid takes out of m the signatures that verify with none of keys. One under a signer's id
// would keep that signer's own away: a key signs once.
func dropInvalid[T metadata.Roles](m *metadata.Metadata[T], keys map[string]*metadata.Key) error {
	payload, err := cjson.EncodeCanonical(m.Signed)
	m.Signatures = valid(payload, m.Signatures, keys)
	return err
}

// fill adds to st what its payload and signatures say.
func (s *State) fill(st *Staged, signed any, sigs []metadata.Signature, fields map[string]any) (err error) {
	if st.Payload, err = cjson.EncodeCanonical(signed); err != nil {
		return err
	}
	st.Digest = digest.Of(st.Payload)
	if st.SignedAt, err = trust.SignedAt(fields); err != nil {
		return err
	}
	keys := s.known(s.waiting[metadata.TARGETS])
	if s.newRoot != nil {
		maps.Copy(keys, s.newRoot.Signed.Keys)
	}
	st.SignedBy = []string{}
	for _, id := range keyIDs(valid(st.Payload, sigs, keys)) {
		if slices.Contains(st.Signers, id) {
			st.SignedBy = append(st.SignedBy, id)
		} else {
			st.Proposed = append(st.Proposed, id)
		}
	}
	st.Have = len(st.SignedBy)
	return nil
}

// propose makes sure that a key which the published metadata names has signed what is to be staged: one
// that may sign for role, or else any that is here and needs no passphrase. That signature counts for
// nothing, but that signers are shown the change.
func (t *tx) propose(role string, signed any, sigs *[]metadata.Signature) error {
	payload, err := cjson.EncodeCanonical(signed)
	if err != nil {
		return err
	}
	known := t.s.known(nil)
	if len(valid(payload, *sigs, known)) > 0 {
		return nil
	}
	have, err := t.r.keys.List()
	if err != nil {
		return err
	}
	for _, locked := range []bool{false, true} {
		for _, k := range have {
			if known[k.ID] == nil || !k.Private || k.Locked != locked {
				continue
			}
			key, err := t.r.keys.ByID(k.ID)
			if err != nil {
				return err
			}
			if key == nil {
				continue
			}
			sig, err := key.Sign(payload)
			if err != nil {
				return fmt.Errorf("propose: %w", err)
			}
			*sigs = append(*sigs, metadata.Signature{KeyID: k.ID, Signature: sig})
			return nil
		}
	}
	err = errs.Errorf(errs.Denied, "none of the keys that the signed metadata names is here, so signers would not be shown the change")
	if role != t.about {
		err = prefixed(role, err)
	}
	return errs.Hint(err, "propose it where one of its keys is: overland trust show lists them")
}

// rootHolders returns the signers of each role that root speaks of.
func rootHolders(root *trust.RootMetadata) map[string]Holders {
	out := map[string]Holders{}
	for role, d := range root.Signed.Roles {
		out[role] = Holders{slices.Sorted(slices.Values(d.KeyIDs)), d.Threshold}
	}
	return out
}

// holders returns the signers of each role that m delegates to; m may be nil.
func holders(m *trust.TargetsMetadata) map[string]Holders {
	out := map[string]Holders{}
	if m == nil || m.Signed.Delegations == nil {
		return out
	}
	for _, d := range m.Signed.Delegations.Roles {
		out[d.Name] = Holders{slices.Sorted(slices.Values(d.KeyIDs)), d.Threshold}
	}
	return out
}

// grants returns the roles whose signers differ, sorted.
func grants(before, after map[string]Holders) []Grant {
	all := maps.Clone(before)
	maps.Copy(all, after)
	var out []Grant
	for _, role := range slices.Sorted(maps.Keys(all)) {
		if g := (Grant{role, before[role], after[role]}); !sameJSON(g.Before, g.After) {
			out = append(out, g)
		}
	}
	return out
}
