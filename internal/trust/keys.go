package trust

import (
	"crypto/ed25519"

	"overland/internal/fsx"
)

// KeyOptions are the settings of a KeyDir; the zero value works.
type KeyOptions struct {
	FS fsx.FS
	// Passphrase is asked for the passphrase of key name; nil: keys with a passphrase cannot be used.
	Passphrase func(name string) ([]byte, error)
}

// KeyDir is a directory of key files: NAME.key (private, mode 0600) and NAME.pub.
type KeyDir struct{}

// PublicKey is an ed25519 key as TUF names it.
type PublicKey struct {
	ID  string // 64 hex digits
	Key ed25519.PublicKey
}

// KeyInfo is what a person sees of a key.
type KeyInfo struct {
	Name    string `json:"name,omitempty"` // "" when this machine has no file for it
	ID      string `json:"id"`
	Private bool   `json:"private"` // this machine can sign with it
	Locked  bool   `json:"locked"`  // a passphrase is needed
}

// Signer signs with one private key.
type Signer interface {
	Public() PublicKey
	Sign(message []byte) ([]byte, error)
}

// OpenKeys opens the directory dir of keys; it is made when the first key is.
func OpenKeys(dir string, o KeyOptions) (*KeyDir, error) { return nil, errTODO }

// New makes a key. A nil passphrase: the file's mode is its only protection. errs.Conflict when there is one.
func (k *KeyDir) New(name string, passphrase []byte) (PublicKey, error) { return PublicKey{}, errTODO }

// List returns the keys by name.
func (k *KeyDir) List() ([]KeyInfo, error) { return nil, errTODO }

// Signer returns a signer with the private key name.
func (k *KeyDir) Signer(name string) (Signer, error) { return nil, errTODO }

// Public returns the public key name.
func (k *KeyDir) Public(name string) (PublicKey, error) { return PublicKey{}, errTODO }

// ParsePublicKey returns the public key in b, a NAME.pub file. A private key is refused.
func ParsePublicKey(b []byte) (PublicKey, error) { return PublicKey{}, errTODO }
