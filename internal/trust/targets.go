package trust

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
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
