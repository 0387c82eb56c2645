package apk

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

// verify returns which of the keys in dir signed what signed holds: its name and the sha256 of the key. Each signature is
// judged on its own: one by another key beside a good one does no harm. None is errs.Untrusted.
func verify(list []signature, signed io.ReadSeeker, at int64, dir string) (string, error) {
	if len(list) == 0 {
		return "", errs.Errorf(errs.Untrusted, "it is not signed")
	}
	var why error
	var unknown []string
	for _, s := range list {
		key, err := readKey(dir, s.key)
		if errors.Is(err, fs.ErrNotExist) {
			unknown = append(unknown, clip(s.key))
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
			why = fmt.Errorf("signature by %s: %w", clip(s.key), err)
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
		return fmt.Errorf("of the kind %q, which is not known here", clip(s.kind))
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
		return nil, fmt.Errorf("%q cannot be a key's name", clip(name))
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
