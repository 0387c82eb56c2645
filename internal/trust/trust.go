package trust

import (
	"errors"
	"net/url"
	"strconv"

	"overland/internal/fsx"
)

// The longest metadata that is read, in bytes.
const (
	MaxRoot      = 512 << 10
	MaxTimestamp = 16 << 10
	MaxSnapshot  = 2 << 20
	MaxTargets   = 5 << 20
)

// The most of each thing that is accepted: what a source, or one signer, can make others do is bounded.
const (
	MaxRoots       = 1024   // versions of root that are asked for in one walk
	MaxKeys        = 1024   // keys in one file
	MaxSignatures  = 256    // signatures on one file, and keys of one role: each may cost a verification
	MaxDelegations = 32_768 // roles that one role delegates to
)

var (
	// ErrNotPinned is returned when a node has no root to trust yet: nothing may
	// be installed. Kind: untrusted.
	ErrNotPinned = errors.New("no root of trust is pinned on this node")
	// ErrTooLarge is returned for metadata longer than its limit.
	ErrTooLarge = fsx.ErrTooLong
	// ErrTooMany is returned where a source offers more of a thing than is accepted.
	ErrTooMany = errors.New("more than is accepted")
	// ErrRollback is returned when a source offers an older version than was verified before.
	ErrRollback = errors.New("older than what was verified before")
	// ErrExpired is returned when metadata is past its expiry at the reference time.
	ErrExpired = errors.New("expired")
	// ErrSignature is returned when too few of the right keys signed.
	ErrSignature = errors.New("too few valid signatures")
	// ErrMismatch is returned when metadata is not what the signed statement about
	// it says, or has no valid form.
	ErrMismatch = errors.New("not what was signed")
	// ErrDamaged is returned when a node's own files are damaged beyond what a source can restore.
	ErrDamaged = errors.New("the node's trust files are damaged")
)

// WireName returns the name of a role's metadata file: "3.app%2Fwallet.json". Version 0 gives the
// name without a number ("timestamp.json").
func WireName(role string, version int64) string {
	name := url.PathEscape(role) + ".json"
	if version == 0 {
		return name
	}
	return strconv.FormatInt(version, 10) + "." + name
}
