package netcache

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
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
	"overland/internal/fsx"
)

const (
	rsaBits     = 2048
	serialBits  = 64
	certYears   = 100
	privateMode = 0o600
	publicMode  = 0o644
	openModes   = 0o077 // bits that a private key's file must not have
)

// Generate makes an RSA key for the signatures of old clients and a self-signed certificate for it,
// and returns the certificate in PEM. The private key goes to keyFile with mode 0600, the
// certificate to certFile unless that is "". A file that is there is never overwritten:
// errs.Conflict, and nothing is changed.
func Generate(disk fsx.FS, keyFile, certFile, name string, now time.Time) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		// Not zero: OpenSSL 3 and Go refuse the document's sample for its empty serial number.
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: now.UTC(), NotAfter: now.UTC().AddDate(certYears, 0, 0), SignatureAlgorithm: x509.SHA256WithRSA,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return writePair(disk, keyFile, certFile, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// GenerateEd25519 makes a key for statements, as Generate does; the
// public key is a PUBLIC KEY block.
func GenerateEd25519(disk fsx.FS, keyFile, publicFile string) ([]byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	return writePair(disk, keyFile, publicFile, private, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func writePair(disk fsx.FS, keyFile, publicFile string, private any, public []byte) ([]byte, error) {
	for _, path := range []string{keyFile, publicFile} {
		if path == "" {
			continue
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return nil, errs.Hint(errs.Errorf(errs.Conflict, "%s is there already", path), "move it away, or name another file")
		}
		dir := filepath.Dir(path)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, errs.Hint(errs.Errorf(errs.NotFound, "%s: there is no folder %s", path, dir), "mkdir -p %s", dir)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	// Linked into place, so that of two that run at the same time one is refused.
	if err := place(disk, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), privateMode); err != nil {
		return nil, err
	}
	if publicFile == "" {
		return public, nil
	}
	if err := place(disk, publicFile, public, publicMode); err != nil {
		return nil, errors.Join(err, disk.Remove(keyFile))
	}
	return public, nil
}

func place(disk fsx.FS, path string, data []byte, mode fs.FileMode) error {
	tmp := fmt.Sprintf("%s.new-%d", path, os.Getpid())
	if err := disk.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	err := disk.Link(tmp, path)
	if errors.Is(err, fs.ErrExist) {
		err = errs.Errorf(errs.Conflict, "%s is there already", path)
	}
	return errors.Join(err, disk.Remove(tmp))
}

// ReadPrivate reads a private key from a file. The error is errs.Denied
// when others may read the file too.
func ReadPrivate(path string) (any, error) {
	f, err := fsx.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Hint(errs.E(errs.NotFound, err), "overland netcache generate-signature-key makes one")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := closed(path, info); err != nil {
		return nil, err
	}
	b := make([]byte, min(info.Size(), PEMLimit+1))
	n, err := f.ReadAt(b, 0)
	if n < len(b) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	key, err := ParsePrivate(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// CheckPrivate returns an error (errs.Denied) when others may read the
// private key in the file at path.
func CheckPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return closed(path, info)
}

func closed(path string, info fs.FileInfo) error {
	if info.Mode().Perm()&openModes == 0 {
		return nil
	}
	return errs.Hint(errs.Errorf(errs.Denied, "%s: a private key that others may read (mode %04o)", path, info.Mode().Perm()),
		"chmod 600 %s; if it may have been read, make a new one", path)
}
