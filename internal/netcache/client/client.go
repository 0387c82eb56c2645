package client

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"time"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
)

// Options changes how a network cache is used. The zero value works, and
// believes Ed25519 statements only.
type Options struct {
	Binary   bool          // use the addresses of the binary cache
	SHA1     bool          // believe the RSA-SHA1 signatures of signature-certificate-list too
	Unbound  bool          // believe those also for entries that do not say which key they belong to
	Lifetime time.Duration // how long an uploaded entry counts; 0 = one year
	MaxBlob  int64         // bytes of a blob that is downloaded; 0 = 16 GiB
	Stall    time.Duration // a transfer without a byte for so long is broken; 0 = 30 s
	Wait     time.Duration // before an upload that broke goes on, doubled each time that nothing came; 0 = 1 s
	State    string        // directory that remembers the newest entry seen of each key; "" = nowhere
	Clock    clock.Clock   // nil = the machine's
	FS       fsx.FS
}

const (
	lifetime = 365 * 24 * time.Hour
	maxBlob  = 16 << 30
	stall    = 30 * time.Second
	wait     = time.Second
)

// Client is safe for concurrent use. There is nothing to close but idle connections: Close.
type Client struct {
	o              Options
	keys           []netcache.Key // whose statements are believed
	certificates   []netcache.Key // whose SHA-1 signatures are believed
	rsa            *rsa.PrivateKey
	ed25519        ed25519.PrivateKey
	getKey, putKey *service
	get, put       *service
	warnings       []string
	secret         []byte // its own: of a private key, or made for this process
}

// New returns a client for the configuration c. Private keys and certificates are
// read now; the network is not used.
func New(c netcache.Config, o Options) (*Client, error) {
	o.Lifetime = cmp.Or(o.Lifetime, lifetime)
	o.MaxBlob = cmp.Or(o.MaxBlob, maxBlob)
	o.Stall = cmp.Or(o.Stall, stall)
	o.Wait = cmp.Or(o.Wait, wait)
	o.Clock = o.Clock.Or()
	n := &Client{o: o, warnings: c.Warnings}
	if err := n.configure(c); err != nil {
		n.Close()
		return nil, fmt.Errorf("network cache: %w", err)
	}
	return n, nil
}

func (n *Client) configure(c netcache.Config) error {
	certificates, warnings, err := netcache.ParseCertificates(c.SignatureCertificateList)
	if err != nil {
		return err
	}
	keys, more, err := netcache.ParseCertificates(c.OverlandKeyList)
	if err != nil {
		return err
	}
	n.warnings = append(append(n.warnings, warnings...), more...)
	n.keys = keys
	if n.o.SHA1 {
		n.certificates = certificates
	}
	if err := n.signers(c, certificates); err != nil {
		return err
	}
	switch {
	case n.ed25519 != nil:
		n.secret = n.ed25519.Seed()
	case n.rsa != nil:
		n.secret = n.rsa.D.Bytes()
	default:
		n.secret = make([]byte, sha256.Size)
		_, _ = rand.Read(n.secret) // never fails
	}
	get, getKey, put, putKey := c.DownloadCacheURL, c.DownloadDirURL, c.UploadCacheURL, c.UploadDirURL
	if n.o.Binary {
		get, getKey, put, putKey = c.DownloadBinaryCacheURL, c.DownloadBinaryDirURL, c.UploadBinaryCacheURL, c.UploadBinaryDirURL
	}
	for _, s := range []struct {
		to    **service
		url   string
		files netcache.TLSFiles
	}{{&n.get, get, c.Shacache}, {&n.getKey, getKey, c.Shadir}, {&n.put, put, c.Shacache}, {&n.putKey, putKey, c.Shadir}} {
		if *s.to, err = newService(s.url, s.files); err != nil {
			return err
		}
	}
	return nil
}

// signers reads the private keys.
func (n *Client) signers(c netcache.Config, certificates []netcache.Key) error {
	if path := c.SignaturePrivateKeyFile; path != "" {
		key, err := netcache.ReadPrivate(path)
		if err != nil {
			return err
		}
		var ok bool
		if n.rsa, ok = key.(*rsa.PrivateKey); !ok {
			return errs.Errorf(errs.Invalid, "signature-private-key-file %s: not an RSA key", path)
		}
		own, err := netcache.NewKey(n.rsa.Public(), "")
		if err != nil {
			return err
		}
		// What this machine uploads it must be able to use itself: the usual mistake is
		// another machine's certificate.
		if c.DownloadDirURL != "" && !contains(certificates, own.ID) && !certified(c.SignatureCertificateFile, own.ID) {
			return errs.Hint(errs.Errorf(errs.Invalid, "the certificate of %s is not in signature-certificate-list", path),
				"add what generate-signature-key printed")
		}
	}
	if path := c.OverlandPrivateKeyFile; path != "" {
		key, err := netcache.ReadPrivate(path)
		if err != nil {
			return err
		}
		var ok bool
		if n.ed25519, ok = key.(ed25519.PrivateKey); !ok {
			return errs.Errorf(errs.Invalid, "overland-private-key-file %s: not an Ed25519 key", path)
		}
	}
	return nil
}

// certified reports whether the file at path, which generate-signature-key made, is the certificate
// of the key id: the section that the SlapOS document prints names it there, and has no list.
func certified(path, id string) bool {
	b, err := fsx.ReadFile(path, netcache.PEMLimit)
	if err != nil {
		return false
	}
	keys, _, err := netcache.ParseCertificates(string(b))
	return err == nil && contains(keys, id)
}

func contains(keys []netcache.Key, id string) bool {
	for _, k := range keys {
		if k.ID == id {
			return true
		}
	}
	return false
}

// Warnings returns what was left out of the configuration, for a person.
func (n *Client) Warnings() []string { return n.warnings }

// Close drops idle connections.
func (n *Client) Close() {
	for _, s := range []*service{n.get, n.getKey, n.put, n.putKey} {
		if s != nil {
			s.http.CloseIdleConnections()
		}
	}
}
