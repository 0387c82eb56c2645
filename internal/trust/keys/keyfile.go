package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"overland/internal/errs"
	"overland/internal/trust"
)

// The kinds of PEM block in key files. The public half is the usual
// one, so that other tools read it.
const (
	pemPrivate = "OVERLAND PRIVATE KEY"           // PKCS #8
	pemLocked  = "OVERLAND ENCRYPTED PRIVATE KEY" // PKCS #8 under scrypt and secretbox, as securesystemslib writes it
	pemPublic  = "PUBLIC KEY"                     // PKIX
)

const maxKeyFile = 16 << 10 // bytes

// ParsePublic returns the public key in b, a NAME.pub file. A private key in its place is refused
// with errs.Denied, so that a person who passes it around by mistake learns of it.
func ParsePublic(b []byte) (trust.PublicKey, error) {
	if len(b) > maxKeyFile {
		return trust.PublicKey{}, errs.Errorf(errs.Invalid, "public key of %d bytes: too long", len(b))
	}
	if bytes.Contains(b, []byte("PRIVATE KEY")) {
		err := errs.Errorf(errs.Denied, "this is a private key, and a public key belongs here")
		return trust.PublicKey{}, errs.Hint(err, "use the .pub file; if others have seen the private one, overland key rotate")
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != pemPublic || len(bytes.TrimSpace(rest)) > 0 {
		return trust.PublicKey{}, errs.Errorf(errs.Invalid, "not a public key: one PEM block %q belongs here", pemPublic)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return trust.PublicKey{}, errs.Errorf(errs.Invalid, "public key: %w", err)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return trust.PublicKey{}, errs.Errorf(errs.Invalid, "public key of type %T: only ed25519 is used here", parsed)
	}
	return trust.NewPublicKey(key)
}

// EncodePublic returns the bytes of a NAME.pub file.
func EncodePublic(key ed25519.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic("trust: encode an ed25519 public key: " + err.Error())
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der})
}

func encodePrivate(key ed25519.PrivateKey, passphrase []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if len(passphrase) == 0 {
		return pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}), nil
	}
	locked, err := encrypted.Encrypt(der, passphrase)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemLocked, Bytes: locked}), nil
}

// decodePrivate returns the private key in b, a NAME.key file of at most maxKeyFile bytes.
func decodePrivate(b, passphrase []byte) (ed25519.PrivateKey, error) {
	block, rest := pem.Decode(b)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errs.Errorf(errs.Invalid, "not a private key: one PEM block %q belongs here", pemPrivate)
	}
	der := block.Bytes
	switch block.Type {
	case pemPrivate:
	case pemLocked:
		var err error
		if der, err = encrypted.Decrypt(block.Bytes, passphrase); err != nil {
			return nil, errs.Errorf(errs.Denied, "wrong passphrase, or a damaged file")
		}
	default:
		return nil, errs.Errorf(errs.Invalid, "PEM block %.100q where %q belongs", block.Type, pemPrivate)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "private key: %w", err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errs.Errorf(errs.Invalid, "private key of type %T: only ed25519 is used here", parsed)
	}
	return key, nil
}

func isLocked(b []byte) bool {
	block, _ := pem.Decode(b)
	return block != nil && block.Type == pemLocked
}
