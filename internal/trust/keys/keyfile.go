package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
)

// The kinds of PEM block in key files. The public half is the usual
// one, so that other tools read it.
const (
	pemPrivate = "OVERLAND PRIVATE KEY"           // PKCS #8
	pemAge     = "AGE ENCRYPTED FILE"             // age's own format, under a passphrase: a block of pemPrivate is in it
	pemOld     = "OVERLAND ENCRYPTED PRIVATE KEY" // PKCS #8 under scrypt and secretbox: read, no longer written
	pemPublic  = "PUBLIC KEY"                     // PKIX
)

const (
	maxKeyFile = 16 << 10 // bytes
	maxWork    = 20       // log2 of scrypt's work: 1 GiB, which a file may ask for
)

// ParsePublic returns the public key in b, a NAME.pub file. A private key in its place is refused
// with errs.Denied, so that a person who passes it around by mistake learns of it.
func ParsePublic(b []byte) (trust.PublicKey, error) {
	if len(b) > maxKeyFile {
		return trust.PublicKey{}, errs.Errorf(errs.Invalid, "public key of %d bytes: too long", len(b))
	}
	if bytes.Contains(b, []byte("PRIVATE KEY")) || isLocked(b) {
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

// encodePrivate returns the bytes of a NAME.key file; work is log2 of scrypt's work, 0 = age's own choice.
func encodePrivate(key ed25519.PrivateKey, passphrase []byte, work int) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	plain := pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der})
	if len(passphrase) == 0 {
		return plain, nil
	}
	to, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, err
	}
	if work > 0 {
		to.SetWorkFactor(work)
	}
	var out bytes.Buffer
	text := armor.NewWriter(&out)
	w, err := age.Encrypt(text, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	err = text.Close()
	return out.Bytes(), err
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
	case pemAge:
		plain, err := decrypt(b, passphrase)
		if wrong := new(age.NoIdentityMatchError); errors.As(err, &wrong) {
			return nil, wrongPassphrase()
		}
		if err != nil {
			return nil, errs.Hint(errs.Errorf(errs.Denied, "a damaged file: %w", err), "bring it back from a copy")
		}
		if isLocked(plain) {
			return nil, errs.Errorf(errs.Invalid, "encrypted twice")
		}
		return decodePrivate(plain, nil)
	case pemOld:
		var err error
		if der, err = encrypted.Decrypt(block.Bytes, passphrase); err != nil {
			return nil, wrongPassphrase()
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

func wrongPassphrase() error {
	return errs.Hint(errs.Errorf(errs.Denied, "wrong passphrase"), "nothing was changed: try again")
}

// decrypt returns what is in the age file b.
func decrypt(b, passphrase []byte) ([]byte, error) {
	who, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return nil, err
	}
	who.SetMaxWorkFactor(maxWork)
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(b)), who)
	if err != nil {
		return nil, err
	}
	return fsx.Read(r, "what is encrypted", maxKeyFile)
}

// isLocked reports whether b, a NAME.key file, needs a passphrase.
func isLocked(b []byte) bool {
	block, _ := pem.Decode(b)
	return block != nil && (block.Type == pemAge || block.Type == pemOld)
}
