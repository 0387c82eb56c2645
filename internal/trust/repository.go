package trust

import (
	"context"
	"time"

	"overland/internal/clock"
	"overland/internal/fsx"
)

// RepositoryOptions are the settings of a Repository; the zero value works.
type RepositoryOptions struct {
	FS     fsx.FS
	Clock  clock.Clock // nil: the machine's
	Expiry Expiry
}

// Expiry is how long each kind of metadata is valid after signing. Zero fields: the defaults of DefaultExpiry.
type Expiry struct{ Root, Targets, Snapshot, Timestamp time.Duration }

// InitOptions are the settings of a new Repository; the zero value works.
type InitOptions struct {
	RepositoryOptions
	RootKeys  []string // key names; empty: "root". Missing keys are made, without a passphrase
	Threshold int      // how many root keys must sign; 0: 1
}

// Repository is the operator's signed metadata. It is safe for concurrent use, also by several processes.
type Repository struct{}

// Info is what a person sees of a Repository.
type Info struct {
	Fingerprint Fingerprint `json:"fingerprint"`
	Version     int64       `json:"version"` // of root
	SignedAt    time.Time   `json:"signedAt"`
	Roles       []RoleInfo  `json:"roles"` // root, targets, snapshot, timestamp, then the delegated ones by name
	Staged      []Staged    `json:"staged,omitempty"`
}

// RoleInfo is one role: who may sign it, and what is signed.
type RoleInfo struct {
	Role      string    `json:"role"`
	Version   int64     `json:"version"`
	Expires   time.Time `json:"expires"`
	Threshold int       `json:"threshold"`
	Keys      []KeyInfo `json:"keys"`
	Targets   int       `json:"targets"`
	SignedBy  []string  `json:"signedBy"` // key ids
}

// Staged is a change that waits for more signatures.
type Staged struct {
	Role     string   `json:"role"`
	Version  int64    `json:"version"`
	SignedBy []string `json:"signedBy"` // key ids
	Have     int      `json:"have"`
	Want     int      `json:"want"`
}

// Version is one past version of a role.
type Version struct {
	Version  int64
	SignedAt time.Time
	Targets  map[string]TargetFile
}

// OpenRepository opens the repository in directory dir. errs.NotFound when there is none.
func OpenRepository(dir string, keys *KeyDir, o RepositoryOptions) (*Repository, error) {
	return nil, errTODO
}

// InitRepository makes a repository in directory dir. errs.Conflict when there is one.
func InitRepository(ctx context.Context, dir string, keys *KeyDir, o InitOptions) (*Repository, error) {
	return nil, errTODO
}

// Fingerprint returns the fingerprint of the newest root.
func (r *Repository) Fingerprint() Fingerprint { return "" }

// Show returns what the repository says.
func (r *Repository) Show(ctx context.Context) (*Info, error) { return nil, errTODO }

// AddSigner lets pub sign for role, with the new threshold (0: as it is).
func (r *Repository) AddSigner(ctx context.Context, role string, pub PublicKey, threshold int) error {
	return errTODO
}

// RemoveSigner takes the key keyID from role, with the new threshold (0: as it is).
func (r *Repository) RemoveSigner(ctx context.Context, role, keyID string, threshold int) error {
	return errTODO
}

// RotateKey makes a new key in place of the key name, wherever it signs.
func (r *Repository) RotateKey(ctx context.Context, name string, passphrase []byte) (PublicKey, error) {
	return PublicKey{}, errTODO
}

// SetTargets changes what role says and publishes it: role, snapshot, timestamp.
func (r *Repository) SetTargets(ctx context.Context, role string, change func(t map[string]TargetFile) error) error {
	return errTODO
}

// Sign adds the signatures of this repository's keys to the staged change of role, and publishes it when they suffice.
func (r *Repository) Sign(ctx context.Context, role string) error { return errTODO }

// Unstage drops the staged change of role.
func (r *Repository) Unstage(ctx context.Context, role string) error { return errTODO }

// Targets returns what role says now; an unknown role says nothing.
func (r *Repository) Targets(role string) (map[string]TargetFile, error) { return nil, errTODO }

// History returns the versions of role, the newest first.
func (r *Repository) History(role string) ([]Version, error) { return nil, errTODO }

// Metadata returns one file, so a Repository is a MetadataSource.
func (r *Repository) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	return nil, errTODO
}

// Names returns the names of all files that a client needs.
func (r *Repository) Names() ([]string, error) { return nil, errTODO }

// Refresh signs again what expires soon.
func (r *Repository) Refresh(ctx context.Context) error { return errTODO }
