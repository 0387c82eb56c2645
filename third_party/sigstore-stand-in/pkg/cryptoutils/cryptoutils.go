// Package cryptoutils is NOT sigstore's: it stands in for what go-tuf names of it, and forwards to overland/signature.
package cryptoutils

import (
	"crypto"

	"overland/signature"
)

// UnmarshalPEMToPublicKey is overland/signature's ParsePEM.
func UnmarshalPEMToPublicKey(b []byte) (crypto.PublicKey, error) { return signature.ParsePEM(b) }

// MarshalPublicKeyToPEM is overland/signature's FormatPEM.
func MarshalPublicKeyToPEM(pub crypto.PublicKey) ([]byte, error) { return signature.FormatPEM(pub) }
