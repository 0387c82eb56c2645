package trust

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
)

// Metadata of each type, as go-tuf reads and writes it.
type (
	// RootMetadata says which keys speak for the top-level roles.
	RootMetadata = metadata.Metadata[metadata.RootType]
	// TimestampMetadata names the newest snapshot.
	TimestampMetadata = metadata.Metadata[metadata.TimestampType]
	// SnapshotMetadata names the version of every role.
	SnapshotMetadata = metadata.Metadata[metadata.SnapshotType]
	// TargetsMetadata is what targets, or a delegated role, says.
	TargetsMetadata = metadata.Metadata[metadata.TargetsType]
)

// SignedAtField is the signed field, in every role's metadata, that says when it was signed (RFC
// 3339). In timestamp.json it is the "sealed at" of a volume.
const SignedAtField = "x-overland-signed-at"

// LongestName is the longest name of a role or target, in bytes.
const LongestName = 1024

// form is what every file of metadata must look like before go-tuf sees it. go-tuf takes a null for
// a value in some maps and a key of another length than its type's, and panics.
type form struct {
	Signed struct {
		Type        string                 `json:"_type"`
		Version     int64                  `json:"version"`
		Keys        map[string]*formKey    `json:"keys"`
		Roles       map[string]*formRole   `json:"roles"`
		Meta        map[string]*formMeta   `json:"meta"`
		Targets     map[string]*formTarget `json:"targets"`
		Delegations *formDelegations       `json:"delegations"`
	} `json:"signed"`
	Signatures []json.RawMessage `json:"signatures"`
}

type formKey struct {
	Type  string `json:"keytype"`
	Value struct {
		Public string `json:"public"`
	} `json:"keyval"`
}

type formRole struct {
	Threshold int               `json:"threshold"`
	KeyIDs    []json.RawMessage `json:"keyids"`
}

type formMeta struct {
	Version int64 `json:"version"`
	Length  int64 `json:"length"`
}

type formTarget struct {
	Length int64 `json:"length"`
}

type formDelegations struct {
	Keys  map[string]*formKey `json:"keys"`
	Roles []struct {
		Name   string            `json:"name"`
		KeyIDs []json.RawMessage `json:"keyids"`
	} `json:"roles"`
}

// CheckForm returns an error that wraps ErrMismatch unless b has the form of metadata of type kind.
func CheckForm(b []byte, kind string) error {
	var f form
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("%w: not JSON metadata: %w", ErrMismatch, err)
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrMismatch, fmt.Sprintf(format, args...))
	}
	s := &f.Signed
	if s.Type != kind {
		return bad("type %.100q where %q belongs", s.Type, kind)
	}
	if s.Version < 1 {
		return bad("version %d", s.Version)
	}
	if n := len(f.Signatures); n > MaxSignatures {
		return bad("%d signatures: at most %d", n, MaxSignatures)
	}
	if err := checkKeys(s.Keys); err != nil {
		return err
	}
	for name, r := range s.Roles {
		if r == nil {
			return bad("role %.100q is null", name)
		}
		if n := len(r.KeyIDs); n > MaxSignatures {
			return bad("role %.100q has %d keys: at most %d", name, n, MaxSignatures)
		}
	}
	for name, m := range s.Meta {
		if m == nil || m.Version < 1 || m.Length < 0 || len(name) > LongestName {
			return bad("entry %.100q has no valid version and length", name)
		}
	}
	if kind == metadata.TIMESTAMP && s.Meta["snapshot.json"] == nil {
		return bad("timestamp without a snapshot")
	}
	for name, t := range s.Targets {
		if t == nil || t.Length < 0 || len(name) > LongestName {
			return bad("target %.100q has no valid length", name)
		}
	}
	if d := s.Delegations; d != nil {
		if err := checkKeys(d.Keys); err != nil {
			return err
		}
		if n := len(d.Roles); n > MaxDelegations {
			return bad("%d delegations: at most %d", n, MaxDelegations)
		}
		for _, r := range d.Roles {
			if n := len(r.KeyIDs); n > MaxSignatures {
				return bad("role %.100q has %d keys: at most %d", r.Name, n, MaxSignatures)
			}
			if r.Name == "" || len(r.Name) > LongestName || TopLevel(r.Name) {
				return bad("delegation to a role named %.100q", r.Name)
			}
		}
	}
	return nil
}

func checkKeys(keys map[string]*formKey) error {
	if n := len(keys); n > MaxKeys {
		return fmt.Errorf("%w: %d keys: at most %d", ErrMismatch, n, MaxKeys)
	}
	for id, k := range keys {
		if k == nil {
			return fmt.Errorf("%w: key %.100q is null", ErrMismatch, id)
		}
		if k.Type == metadata.KeyTypeEd25519 {
			if b, err := hex.DecodeString(k.Value.Public); err != nil || len(b) != 32 {
				return fmt.Errorf("%w: key %.100q is not an ed25519 key", ErrMismatch, id)
			}
		}
	}
	return nil
}

// TopLevel reports whether role is one that root speaks of. A delegation to such a
// name would take its files' place.
func TopLevel(role string) bool {
	switch role {
	case metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP:
		return true
	}
	return false
}

// ParseRoot returns the root metadata in b. Its form is checked, its signatures are
// not. Errors are of kind Untrusted.
func ParseRoot(b []byte) (*RootMetadata, error) {
	if err := CheckForm(b, metadata.ROOT); err != nil {
		return nil, Untrusted("root", err)
	}
	m, err := metadata.Root().FromBytes(b)
	return m, Untrusted("root", err)
}

// ParseTimestamp returns the timestamp metadata in b. Its form is checked, its signatures are
// not. Errors are of kind Untrusted.
func ParseTimestamp(b []byte) (*TimestampMetadata, error) {
	if err := CheckForm(b, metadata.TIMESTAMP); err != nil {
		return nil, Untrusted("timestamp", err)
	}
	m, err := metadata.Timestamp().FromBytes(b)
	return m, Untrusted("timestamp", err)
}

// ParseSnapshot returns the snapshot metadata in b. Its form is checked, its signatures are
// not. Errors are of kind Untrusted.
func ParseSnapshot(b []byte) (*SnapshotMetadata, error) {
	if err := CheckForm(b, metadata.SNAPSHOT); err != nil {
		return nil, Untrusted("snapshot", err)
	}
	m, err := metadata.Snapshot().FromBytes(b)
	return m, Untrusted("snapshot", err)
}

// ParseTargets returns what b says for role; as ParseRoot.
func ParseTargets(b []byte, role string) (*TargetsMetadata, error) {
	if err := CheckForm(b, metadata.TARGETS); err != nil {
		return nil, Untrusted(role, err)
	}
	m, err := metadata.Targets().FromBytes(b)
	return m, Untrusted(role, err)
}

// SignedAt returns when metadata was signed, zero when it does not say. fields are
// the unrecognised signed fields.
func SignedAt(fields map[string]any) (time.Time, error) {
	v, ok := fields[SignedAtField]
	if !ok {
		return time.Time{}, nil
	}
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s: %w", ErrMismatch, SignedAtField, err)
	}
	return t.UTC(), nil
}

// Untrusted returns err, of go-tuf or of our own, as one of kind untrusted that wraps a sentinel
// of this package; nil stays nil.
func Untrusted(what string, err error) error {
	if err == nil {
		return nil
	}
	var sentinel error
	switch {
	case errors.Is(err, ErrMismatch), errors.Is(err, ErrRollback), errors.Is(err, ErrExpired), errors.Is(err, ErrSignature),
		errors.Is(err, ErrLifetime):
		return errs.Errorf(errs.Untrusted, "%.100s: %w", what, err)
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		sentinel = ErrExpired
	case errors.Is(err, &metadata.ErrUnsignedMetadata{}):
		sentinel = ErrSignature
	case errors.Is(err, &metadata.ErrBadVersionNumber{}):
		sentinel = ErrRollback
	default:
		sentinel = ErrMismatch
	}
	return errs.Errorf(errs.Untrusted, "%.100s: %w (%w)", what, sentinel, err)
}
