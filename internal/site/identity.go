package site

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/fsx"
)

const (
	keyFile   = "key.pem"
	certFile  = "cert.pem"
	lockFile  = "lock"
	keyType   = "PRIVATE KEY"
	certType  = "CERTIFICATE"
	pemLimit  = 16 << 10
	serialMax = 127 // bits
)

// identity returns the key pair in directory dir, made on first use. The key is what nodes have
// pinned, so it is never replaced: a damaged one is an error for a person. The certificate only
// carries the key, and is made again when it is missing, or when it lacks one of the names of.
func identity(f fsx.FS, dir string, of names) (tls.Certificate, fetch.Pin, error) {
	if err := f.Mkdir(dir, 0o700); err != nil {
		return tls.Certificate{}, fetch.Pin{}, err
	}
	lock, err := fsx.WaitLock(filepath.Join(dir, lockFile))
	if err != nil {
		return tls.Certificate{}, fetch.Pin{}, err
	}
	defer func() { _ = lock.Unlock() }() // held by the open file alone
	key, err := readKey(filepath.Join(dir, keyFile))
	if errors.Is(err, fs.ErrNotExist) {
		key, err = newKey(f, dir)
	}
	if err != nil {
		return tls.Certificate{}, fetch.Pin{}, err
	}
	cert, err := readCertificate(filepath.Join(dir, certFile), key)
	if err != nil {
		cert, err = newCertificate(f, filepath.Join(dir, certFile), key, of)
	} else if old := namesIn(cert); !old.have(of) {
		cert, err = newCertificate(f, filepath.Join(dir, certFile), key, of.and(old))
	}
	if err != nil {
		return tls.Certificate{}, fetch.Pin{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, fetch.PinOf(cert), nil
}

// readKey reads the private key at path, which only its owner may read.
func readKey(path string) (crypto.Signer, error) {
	block, info, err := readPEM(path, keyType)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, errs.Hint(errs.E(errs.Invalid, err),
			"put it back from a copy; or remove it and its certificate and give every node the URL of the new key")
	}
	if info.Mode().Perm()&0o077 != 0 {
		err := errs.Errorf(errs.Denied, "%s: others may read this private key (mode %#o)", path, info.Mode().Perm())
		return nil, errs.Hint(err, "chmod 600 %s", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block)
	if err != nil {
		return nil, errs.E(errs.Invalid, fmt.Errorf("%s: %w", path, err))
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errs.Errorf(errs.Invalid, "%s: a key that cannot sign", path)
	}
	return key, nil
}

// newKey makes the key of a new site. A certificate without a key means that the
// key was lost: then it makes none.
func newKey(f fsx.FS, dir string) (crypto.Signer, error) {
	if _, err := os.Lstat(filepath.Join(dir, certFile)); err == nil {
		err := errs.Errorf(errs.Invalid, "%s: there is a certificate but not its key", filepath.Join(dir, keyFile))
		return nil, errs.Hint(err, "put the key back from a copy; or remove %s and give every node the URL of the new key",
			filepath.Join(dir, certFile))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, f.WriteFile(filepath.Join(dir, keyFile), pem.EncodeToMemory(&pem.Block{Type: keyType, Bytes: der}), 0o600)
}

// readCertificate reads the certificate at path, which must be key's.
func readCertificate(path string, key crypto.Signer) (*x509.Certificate, error) {
	block, _, err := readPEM(path, certType)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(block)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(public, cert.RawSubjectPublicKeyInfo) {
		return nil, errs.Errorf(errs.Invalid, "%s: the certificate of another key", path)
	}
	return cert, nil
}

// newCertificate makes a certificate that never expires: nodes know the site by its key, and some have
// no clock. It is not an authority: a client that trusts it trusts these names alone.
func newCertificate(f fsx.FS, path string, key crypto.Signer, of names) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialMax))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "overland site"},
		NotBefore:    time.Unix(0, 0).UTC(),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 §4.1.2.5: no end
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     of.dns,

		BasicConstraintsValid: true,
	}
	for _, ip := range of.ips {
		template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if err := f.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: certType, Bytes: der}), 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// readPEM returns the one block of type kind in the file at path.
func readPEM(path, kind string) ([]byte, fs.FileInfo, error) {
	file, err := fsx.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	text, err := fsx.Read(file, path, pemLimit)
	if err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, nil, fmt.Errorf("%s: not a %s", path, kind)
	}
	return block.Bytes, info, nil
}
