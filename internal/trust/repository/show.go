package repository

import (
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/trust"
)

// Info is what a person sees of a repository.
type Info struct {
	Fingerprint trust.Fingerprint `json:"fingerprint"` // of the newest root
	Version     int64             `json:"version"`     // of root
	SignedAt    time.Time         `json:"signedAt"`    // of timestamp
	Roles       []RoleInfo        `json:"roles"`       // root, targets, snapshot, timestamp, then the delegated ones by name
	Staged      []Staged          `json:"staged,omitempty"`
	Rejected    []Rejected        `json:"rejected,omitempty"` // staged files that nobody is to sign
}

// RoleInfo is one role: who may sign it, and what is signed.
type RoleInfo struct {
	Role      string          `json:"role"`
	Version   int64           `json:"version"` // 0: nothing is signed yet
	Expires   time.Time       `json:"expires"`
	Threshold int             `json:"threshold"`
	Keys      []trust.KeyInfo `json:"keys"`
	Targets   int             `json:"targets"`
	SignedBy  []string        `json:"signedBy"` // key ids
}

// Show returns s for people; known are the keys whose names are shown.
func (s *State) Show(known []trust.KeyInfo) (*Info, error) {
	info := &Info{Fingerprint: s.print, Version: s.root.Signed.Version, SignedAt: s.signed}
	add := func(role string, version int64, expires time.Time, targets int, sigs []metadata.Signature) {
		i := RoleInfo{Role: role, Version: version, Expires: expires, Targets: targets, SignedBy: keyIDs(sigs)}
		ids, threshold := s.signersOf(role)
		i.Threshold = threshold
		for _, id := range ids {
			key := trust.KeyInfo{ID: id}
			if at := slices.IndexFunc(known, func(k trust.KeyInfo) bool { return k.ID == id }); at >= 0 {
				key = known[at]
			}
			i.Keys = append(i.Keys, key)
		}
		info.Roles = append(info.Roles, i)
	}
	top := s.top()
	add(metadata.ROOT, s.root.Signed.Version, s.root.Signed.Expires, 0, s.root.Signatures)
	add(metadata.TARGETS, top.Signed.Version, top.Signed.Expires, len(top.Signed.Targets), top.Signatures)
	add(metadata.SNAPSHOT, s.snapshot.Signed.Version, s.snapshot.Signed.Expires, 0, s.snapshot.Signatures)
	add(metadata.TIMESTAMP, s.timestamp.Signed.Version, s.timestamp.Signed.Expires, 0, s.timestamp.Signatures)
	for _, name := range s.delegated() {
		if m := s.roles[name]; m != nil {
			add(name, m.Signed.Version, m.Signed.Expires, len(m.Signed.Targets), m.Signatures)
		} else {
			add(name, 0, time.Time{}, 0, nil)
		}
	}
	var err error
	info.Rejected = s.Rejected()
	info.Staged, err = s.Staged()
	return info, err
}

// delegated returns the names of the roles that targets delegates to, sorted.
func (s *State) delegated() []string {
	var names []string
	if d := s.top().Signed.Delegations; d != nil {
		for _, r := range d.Roles {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}
