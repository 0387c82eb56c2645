package trust

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/digest"
)

// TargetFile is what a role says of one target path: the blob that it means.
type TargetFile struct {
	Digest digest.Digest
	Size   int64 // bytes
	Custom json.RawMessage
	// Other hashes that a foreign publisher gave, algorithm → hex digits;
	// our own repositories give none.
	Other map[string]string
}

// Version is one published version of a role.
type Version struct {
	Version  int64
	SignedAt time.Time
	Targets  map[string]TargetFile
}

// Signed is what an operator's repository says at one moment: *repository.State.
type Signed interface {
	// Targets returns what role ("app/wallet") says; an unknown role says nothing.
	Targets(role string) map[string]TargetFile
	// Version returns the published version of role; 0 = nothing was signed for it.
	Version(role string) int64
	// History returns the published versions of role, the newest first.
	History(ctx context.Context, role string) ([]Version, error)
}

// FileOf returns t in the words of this package.
func FileOf(t *metadata.TargetFiles) TargetFile {
	f := TargetFile{Size: t.Length}
	for name, sum := range t.Hashes {
		if name == "sha256" && len(sum) == digest.Size {
			f.Digest = digest.FromRaw(sum)
			continue
		}
		if f.Other == nil {
			f.Other = map[string]string{}
		}
		f.Other[name] = hex.EncodeToString(sum)
	}
	if t.Custom != nil {
		f.Custom = slices.Clone(*t.Custom)
	}
	return f
}

// FilesOf returns everything that m says, by target path.
func FilesOf(m *TargetsMetadata) map[string]TargetFile {
	out := map[string]TargetFile{}
	for path, t := range m.Signed.Targets {
		out[path] = FileOf(t)
	}
	return out
}

// Delegation returns what m says of role, nil when it does not delegate to it.
func Delegation(m *TargetsMetadata, role string) *metadata.DelegatedRole {
	if m.Signed.Delegations == nil {
		return nil
	}
	for i := range m.Signed.Delegations.Roles {
		if d := &m.Signed.Delegations.Roles[i]; d.Name == role {
			return d
		}
	}
	return nil
}

// DelegatedKeys returns the keys that may sign what role says, to which top delegates.
func DelegatedKeys(top *TargetsMetadata, role string) (list []PublicKey) {
	d := Delegation(top, role)
	if d == nil {
		return nil
	}
	for _, id := range d.KeyIDs {
		if k := top.Signed.Delegations.Keys[id]; k != nil {
			if pub, err := k.ToPublicKey(); err == nil {
				if key, ok := pub.(ed25519.PublicKey); ok {
					list = append(list, PublicKey{ID: id, Key: key})
				}
			}
		}
	}
	return list
}

// SignersOf returns the ids of the keys, of those which top names for role, whose signature on m is
// valid, sorted. Each is verified alone.
func SignersOf(top *TargetsMetadata, role string, m *TargetsMetadata) []string {
	d := Delegation(top, role)
	if d == nil {
		return nil
	}
	var out []string
	for _, id := range d.KeyIDs {
		one := *top
		one.Signed.Delegations = &metadata.Delegations{
			Keys:  top.Signed.Delegations.Keys,
			Roles: []metadata.DelegatedRole{{Name: role, KeyIDs: []string{id}, Threshold: 1, Paths: d.Paths}},
		}
		if one.VerifyDelegate(role, m) == nil && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// FallbackRole returns the role of the returns of the channel whose role is channel ("channel/live"):
// "fallback/live". "" when channel is no channel's role. One signer of the channel signs it.
func FallbackRole(channel string) string {
	name, ok := strings.CutPrefix(channel, "channel/")
	if !ok {
		return ""
	}
	return "fallback/" + name
}
