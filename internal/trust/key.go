package trust

import (
	"crypto/ed25519"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// PublicKey is an ed25519 key as TUF names it. The zero value is not a key.
type PublicKey struct {
	ID  string // 64 hex digits: sha256 over TUF's canonical form of the key
	Key ed25519.PublicKey
}

// NewPublicKey returns key with its id.
func NewPublicKey(key ed25519.PublicKey) (PublicKey, error) {
	k, err := metadata.KeyFromPublicKey(key)
	if err != nil {
		return PublicKey{}, err
	}
	id, err := k.ID()
	return PublicKey{ID: id, Key: key}, err
}

// KeyInfo is what a person sees of a key.
type KeyInfo struct {
	Name    string `json:"name,omitempty"` // "" when this machine has no file for it
	ID      string `json:"id"`
	Private bool   `json:"private"` // this machine can sign with it
	Locked  bool   `json:"locked"`  // a passphrase is needed
}

// Signer signs with one private key, which may be elsewhere: on another machine, in a token.
type Signer interface {
	Public() PublicKey
	// Sign returns the ed25519 signature of message. It may ask a person, and so take long.
	Sign(message []byte) ([]byte, error)
}
