package deb

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"overland/internal/errs"
	"overland/internal/fsx"
)

const (
	keyringLimit = 4 << 20 // bytes of one keyring
	armourHead   = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
)

// ReadKeyring returns the public keys in b, at most 4 MiB, armoured (several blocks, one after the
// other) or not. A private key among them is errs.Invalid, as is all that does not parse.
func ReadKeyring(b []byte) (openpgp.EntityList, error) {
	if len(b) > keyringLimit {
		return nil, errs.Errorf(errs.Invalid, "a keyring of more than %d bytes", keyringLimit)
	}
	if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN")) {
		return readKeys(bytes.NewReader(b))
	}
	var all openpgp.EntityList
	for rest := b; ; {
		at := bytes.Index(rest, []byte(armourHead))
		if at < 0 {
			break
		}
		rest = rest[at:]
		end := bytes.Index(rest[len(armourHead):], []byte(armourHead))
		block := rest
		if end >= 0 {
			block = rest[:len(armourHead)+end]
		}
		rest = rest[len(block):]
		dec, err := armor.Decode(bytes.NewReader(block))
		if err != nil {
			return nil, errs.E(errs.Invalid, fmt.Errorf("armour: %w", err))
		}
		keys, err := readKeys(dec.Body)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	if len(all) == 0 {
		return nil, errs.Errorf(errs.Invalid, "no public key in armour")
	}
	return all, nil
}

func readKeys(r io.Reader) (openpgp.EntityList, error) {
	keys, err := openpgp.ReadKeyRing(r)
	if err != nil {
		return nil, errs.E(errs.Invalid, err)
	}
	for _, k := range keys {
		if k.PrivateKey != nil {
			return nil, errs.Errorf(errs.Invalid, "a private key among the public ones")
		}
	}
	return keys, nil
}

// ReadKeyringFile returns the keys of the file path, as ReadKeyring does;
// fs.ErrNotExist when there is none.
func ReadKeyringFile(path string) (openpgp.EntityList, error) {
	b, err := fsx.ReadFile(path, keyringLimit)
	if errors.Is(err, fsx.ErrTooLong) {
		err = errs.E(errs.Invalid, err)
	}
	if err != nil {
		return nil, err
	}
	keys, err := ReadKeyring(b)
	if err != nil {
		return nil, fmt.Errorf("keyring %s: %w", path, err)
	}
	return keys, nil
}

// trustedKeys returns the keys of dir/trusted.gpg and dir/trusted.gpg.d: those that apt
// uses for a source that names none.
func trustedKeys(dir string) (openpgp.EntityList, error) {
	paths := []string{filepath.Join(dir, "trusted.gpg")}
	for _, end := range []string{"*.gpg", "*.asc"} {
		some, err := filepath.Glob(filepath.Join(dir, "trusted.gpg.d", end))
		if err != nil {
			return nil, err
		}
		paths = append(paths, some...)
	}
	var all openpgp.EntityList
	for _, p := range paths {
		keys, err := ReadKeyringFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}

// KeysFor returns the keys that signedBy, the value of Signed-By in sources.list(5),
// allows: each word is the path of a keyring or a fingerprint among the trusted keys, or
// the whole is armour. "" means all trusted keys. dir is apt's configuration, "/etc/apt",
// whose trusted.gpg and trusted.gpg.d are read; never all of /usr/share/keyrings, which
// also holds keys that were withdrawn.
func KeysFor(signedBy, dir string) (openpgp.EntityList, error) {
	if strings.Contains(signedBy, armourHead) {
		lines := strings.Split(signedBy, "\n")
		for i, l := range lines {
			if l = strings.TrimSpace(l); l == "." {
				l = ""
			}
			lines[i] = l
		}
		return ReadKeyring([]byte(strings.TrimSpace(strings.Join(lines, "\n")) + "\n"))
	}
	words := strings.FieldsFunc(signedBy, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
	if len(words) == 0 {
		return trustedKeys(dir)
	}
	var all openpgp.EntityList
	var prints []string
	for _, w := range words {
		if !filepath.IsAbs(w) {
			prints = append(prints, strings.ToUpper(strings.TrimSuffix(w, "!")))
			continue
		}
		keys, err := ReadKeyringFile(w)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	if len(prints) == 0 {
		return all, nil
	}
	// Fingerprints choose among the keyrings named beside them;
	// without any, among the trusted ones.
	if len(all) == 0 {
		var err error
		if all, err = trustedKeys(dir); err != nil {
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(e *openpgp.Entity) bool { return !slices.Contains(prints, Fingerprint(e)) })
	if len(all) == 0 {
		return nil, errs.Errorf(errs.Invalid, "signed-by %s: no such key among the trusted ones", signedBy)
	}
	return all, nil
}

// Fingerprint returns the fingerprint of e's primary key in upper-case hex digits.
func Fingerprint(e *openpgp.Entity) string {
	return strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint))
}
