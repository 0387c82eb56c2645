package signature

import (
	"crypto"
	"crypto/rsa"

	"overland/signature"
)

// Signer is what go-tuf names; Overland signs through its own interface.
type Signer = signature.Signer

// Verifier is overland/signature's.
type Verifier = signature.Verifier

// LoadVerifier is overland/signature's New.
func LoadVerifier(pub crypto.PublicKey, hash crypto.Hash) (Verifier, error) {
	return signature.New(pub, hash)
}

// LoadRSAPSSVerifier is overland/signature's NewRSAPSS.
func LoadRSAPSSVerifier(pub *rsa.PublicKey, hash crypto.Hash, o *rsa.PSSOptions) (Verifier, error) {
	return signature.NewRSAPSS(pub, hash, o)
}
