package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes that TUF's key schemes name
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"
)

// ErrInvalid is returned for a signature that is not of the message by the key.
var ErrInvalid = errors.New("invalid signature")

// Signer makes signatures. go-tuf names it; Overland signs through an interface of its own.
type Signer interface {
	PublicKey() (crypto.PublicKey, error)
	SignMessage(message io.Reader) ([]byte, error)
}

// Verifier verifies signatures of one public key.
type Verifier interface {
	// VerifySignature returns nil when signature is of message by the key, ErrInvalid when it is
	// not, and the error of the reader that failed. It reads both to their ends.
	VerifySignature(signature, message io.Reader) error
}

// New returns a Verifier of the ed25519 or ECDSA key pub, an error for any other. hash
// is ECDSA's; ed25519 ignores it.
func New(pub crypto.PublicKey, hash crypto.Hash) (Verifier, error) {
	switch k := pub.(type) {
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("ed25519 key of %d bytes", len(k))
		}
		return verifier(func(sig, message []byte) bool { return ed25519.Verify(k, message, sig) }), nil
	case *ecdsa.PublicKey:
		if k == nil || !hash.Available() {
			return nil, errors.New("no ECDSA key, or an unknown hash")
		}
		return verifier(func(sig, message []byte) bool { return ecdsa.VerifyASN1(k, sum(hash, message), sig) }), nil
	}
	return nil, fmt.Errorf("unsupported key %T", pub)
}

// NewRSAPSS returns a Verifier of RSA-PSS signatures by pub over hash.
// A nil o takes any salt length.
func NewRSAPSS(pub *rsa.PublicKey, hash crypto.Hash, o *rsa.PSSOptions) (Verifier, error) {
	if pub == nil || !hash.Available() {
		return nil, errors.New("no RSA key, or an unknown hash")
	}
	return verifier(func(sig, message []byte) bool {
		return rsa.VerifyPSS(pub, hash, sum(hash, message), sig, o) == nil
	}), nil
}

func sum(hash crypto.Hash, message []byte) []byte {
	h := hash.New()
	h.Write(message)
	return h.Sum(nil)
}

type verifier func(sig, message []byte) bool

func (v verifier) VerifySignature(signature, message io.Reader) error {
	sig, err := io.ReadAll(signature)
	if err != nil {
		return fmt.Errorf("read signature: %w", err)
	}
	m, err := io.ReadAll(message)
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if !v(sig, m) {
		return ErrInvalid
	}
	return nil
}
