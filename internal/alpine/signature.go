package alpine

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

const (
	keyLimit  = 64 << 10 // bytes of a key's file
	nameLimit = 255      // bytes of the name of a key or a package
)

var hashes = map[string]crypto.Hash{"RSA": crypto.SHA1, "RSA256": crypto.SHA256, "RSA512": crypto.SHA512}

// Verify returns which of the keys in the folder dir signed r, an APKINDEX.tar.gz: "NAME
// sha256:HEX", the name of the key's file and the digest of its PKIX form. Each signature is
// verified on its own: one by another key beside a good one does no harm. Without a good one the
// error is errs.Untrusted. What is signed is hashed, not unpacked; the keys are read each time, so
// that a service notices when they change.
//
// Not for packages: a package's own signature covers only its control
// member, and its index proves more.
func Verify(r io.ReadSeeker, dir string) (string, error) {
	list, at, _, err := newMembers(r).begin()
	if err != nil {
		return "", err
	}
	signer, err := verify(list, r, at, dir)
	return signer, errs.Hint(err, "a key in %s must have signed it", dir)
}

func verify(list []signature, signed io.ReadSeeker, at int64, dir string) (string, error) {
	if len(list) == 0 {
		return "", errs.Errorf(errs.Untrusted, "it is not signed")
	}
	var why error
	var unknown []string
	for _, s := range list {
		key, err := readKey(dir, s.key)
		if errors.Is(err, fs.ErrNotExist) {
			unknown = append(unknown, fmt.Sprintf("%.100s", s.key))
			continue
		}
		if err == nil {
			err = s.check(key, signed, at)
		}
		if err == nil {
			der, err := x509.MarshalPKIXPublicKey(key)
			sum := sha256.Sum256(der)
			return s.key + " sha256:" + hex.EncodeToString(sum[:]), err
		}
		if why == nil {
			why = fmt.Errorf("signature by %.100s: %w", s.key, err)
		}
	}
	if why == nil {
		why = fmt.Errorf("signed by %s, which is not in %s", strings.Join(unknown, ", "), dir)
	}
	return "", errs.E(errs.Untrusted, why)
}

func (s signature) check(key *rsa.PublicKey, signed io.ReadSeeker, at int64) error {
	hash, ok := hashes[s.kind]
	if !ok {
		return fmt.Errorf("of the kind %.100q, which is not known here", s.kind)
	}
	if _, err := signed.Seek(at, io.SeekStart); err != nil {
		return err
	}
	h := hash.New()
	if _, err := io.Copy(h, signed); err != nil {
		return err
	}
	return rsa.VerifyPKCS1v15(key, hash, h.Sum(nil), s.b)
}

// readKey reads the public key called name in the folder dir; fs.ErrNotExist when there is none.
func readKey(dir, name string) (*rsa.PublicKey, error) {
	if name == "" || len(name) > nameLimit || filepath.Base(name) != name || name[0] == '.' || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return nil, fmt.Errorf("%.100q cannot be a key's name", name)
	}
	path := filepath.Join(dir, name)
	b, err := fsx.ReadFile(path, keyLimit)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errs.Errorf(errs.Invalid, "%s: not a public key in PEM", path)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errs.E(errs.Invalid, fmt.Errorf("%s: %w", path, err))
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errs.Errorf(errs.Invalid, "%s: not an RSA key", path)
	}
	return key, nil
}
