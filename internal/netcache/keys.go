package netcache

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1" // what old clients sign with; see docs/format/shacache.md
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	"overland/internal/errs"
)

// PEMLimit is how many bytes of certificates or keys are looked at.
const PEMLimit = 1 << 20

const certificateLimit = 1000 // certificates in a list

// Key is a public key that signs entries.
type Key struct {
	ID     string           // hex sha256 over its PKIX form
	Name   string           // the certificate's common name; for people
	Public crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// NewKey returns the Key of a public key, or an error (errs.Invalid)
// for a kind that signs no entries.
func NewKey(public crypto.PublicKey, name string) (Key, error) {
	switch public.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return Key{}, errs.Errorf(errs.Invalid, "a key of type %T signs no entries", public)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, errs.E(errs.Invalid, err)
	}
	sum := sha256.Sum256(der)
	return Key{ID: hex.EncodeToString(sum[:]), Name: name, Public: public}, nil
}

// ParseCertificates returns the keys of a signature-certificate-list: PEM blocks one after the
// other, indented or not, text between them ignored. Only the public keys count: no chain, no
// dates (production trusts certificates that expired years ago). A certificate or key that cannot
// be read is left out, with a line in warnings. A private key in the list is an error
// (errs.Invalid): it was about to be published.
func ParseCertificates(text string) (keys []Key, warnings []string, err error) {
	if len(text) > PEMLimit {
		return nil, nil, errs.Errorf(errs.Invalid, "a certificate list of more than %d bytes", PEMLimit)
	}
	if strings.Contains(text, "PRIVATE KEY") {
		return nil, nil, errs.Hint(errs.Errorf(errs.Invalid, "a private key is in the list of certificates"),
			"take it out, and make a new one: overland netcache generate-signature-key")
	}
	blocks := split(text)
	if len(blocks) > certificateLimit {
		return nil, nil, errs.Errorf(errs.Invalid, "a list of more than %d certificates", certificateLimit)
	}
	seen := map[string]bool{}
	for i, block := range blocks {
		k, err := parseKey(block)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("certificate %d of the list is left out: %v", i+1, err))
			continue
		}
		if !seen[k.ID] {
			keys = append(keys, k)
			seen[k.ID] = true
		}
	}
	return keys, warnings, nil
}

// split cuts a list where a PEM block begins, and takes the
// indentation of a configuration file away.
func split(text string) []string {
	var blocks []string
	var b strings.Builder
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "-----BEGIN ") {
			if in {
				blocks = append(blocks, b.String())
			}
			in = true
			b.Reset()
		}
		if in {
			b.WriteString(line + "\n")
		}
	}
	if in {
		blocks = append(blocks, b.String())
	}
	return blocks
}

func parseKey(block string) (Key, error) {
	p, _ := pem.Decode([]byte(block))
	switch {
	case p == nil:
		return Key{}, errs.Errorf(errs.Invalid, "not PEM")
	case p.Type == "PUBLIC KEY":
		public, err := x509.ParsePKIXPublicKey(p.Bytes)
		if err != nil {
			return Key{}, err
		}
		return NewKey(public, "")
	case p.Type != "CERTIFICATE":
		return Key{}, errs.Errorf(errs.Invalid, "%q is not a certificate", p.Type)
	}
	c, err := x509.ParseCertificate(p.Bytes)
	if err != nil {
		return Key{}, err
	}
	return NewKey(c.PublicKey, c.Subject.CommonName)
}

// Sign returns the outer signature of metadata, RSA PKCS#1 v1.5 over SHA-1 in base64: the same
// bytes as "openssl sha1 -sign".
func Sign(key *rsa.PrivateKey, metadata string) (string, error) {
	sum := sha1.Sum([]byte(metadata)) // as above
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA1, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign metadata: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sig), nil
}

// Verify reports whether k made the outer signature of e.
func Verify(k Key, e Entry) bool {
	sig, err := base64.StdEncoding.DecodeString(e.Signature)
	if err != nil || len(sig) == 0 {
		return false
	}
	sum := sha1.Sum([]byte(e.Metadata)) // as above
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA1, sum[:], sig) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(public, sum[:], sig)
	}
	return false
}

// Signer returns the first of keys that made the outer signature of e.
func Signer(keys []Key, e Entry) (Key, bool) {
	for _, k := range keys {
		if Verify(k, e) {
			return k, true
		}
	}
	return Key{}, false
}

// ParsePrivate returns the private key in PEM, an *rsa.PrivateKey or an ed25519.PrivateKey. The
// error is errs.Invalid and never shows what was read.
func ParsePrivate(b []byte) (crypto.Signer, error) {
	p, _ := pem.Decode(bytes.TrimSpace(b))
	if p == nil || len(b) > PEMLimit || !strings.HasSuffix(p.Type, "PRIVATE KEY") {
		return nil, errs.Errorf(errs.Invalid, "not a private key in PEM")
	}
	var key any
	var err error
	if p.Type == "RSA PRIVATE KEY" {
		key, err = x509.ParsePKCS1PrivateKey(p.Bytes)
	} else {
		key, err = x509.ParsePKCS8PrivateKey(p.Bytes)
	}
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "a %q block that cannot be read as a private key", p.Type)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, errs.Errorf(errs.Invalid, "a private key of type %T signs no entries: RSA or Ed25519 does", key)
}
