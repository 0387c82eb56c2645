package server

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
)

const policyLimit = 4 << 20 // bytes of a policy file

// Policy says who may write what. The zero value lets nobody write.
type Policy struct {
	Open               bool           // everybody may write: for a closed lab
	Accounts           []Account      // who may write, else
	Signers            []netcache.Key // the keys whose entries are known
	RequireKnownSigner bool           // entries that none of Signers signed are refused
	Revoked            []netcache.Key // entries that one of these signed are refused, and not served any more
	RevokedIDs         []string       // the same by key id, where the key itself is lost
	Lenient            bool           // entries whose metadata name another key are taken, with a warning in the log
	Warnings           []string       // what ParsePolicy left out
}

// Account is a writer, known by the key of its TLS client certificate.
type Account struct {
	Name     string   `json:"name"`
	Identity string   `json:"identity"`           // hex sha256 over the certificate's public key: Identity
	Prefixes []string `json:"prefixes,omitempty"` // of the keys that it may put; none = every key
}

// Identity returns what an Account of this client certificate is known by. TLS has proved that the
// client holds the private key; issuer and dates do not count.
func Identity(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// ClientAuth makes a TLS server ask for client certificates, so that writers
// can be known; readers need none.
func ClientAuth(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.ClientAuth = tls.RequestClientCert
	return c
}

// policyFile is the JSON form of a Policy; docs/format/shacache.md describes it.
type policyFile struct {
	Open     bool `json:"open"`
	Accounts []struct {
		Account
		Certificate string `json:"certificate"`
	} `json:"accounts"`
	Signers            string   `json:"signers"`
	RequireKnownSigner bool     `json:"requireKnownSigner"`
	Revoked            string   `json:"revoked"`
	RevokedIDs         []string `json:"revokedIds"`
	Lenient            bool     `json:"lenient"`
}

// ParsePolicy reads a policy file. Unknown names, an account without an identity and a private key
// are errors (errs.Invalid); a malformed certificate among the signers is left out with a warning,
// one among the revoked is an error, because what it signed would be served.
func ParsePolicy(r io.Reader) (Policy, error) {
	p, err := parsePolicy(r)
	if err != nil {
		return Policy{}, errs.E(errs.Invalid, fmt.Errorf("network cache policy: %w", err))
	}
	return p, nil
}

func parsePolicy(r io.Reader) (p Policy, err error) {
	b, err := fsx.Read(r, "the policy", policyLimit)
	if err != nil {
		return p, err
	}
	var f policyFile
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return p, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return p, errors.New("more than one JSON value")
	}
	p = Policy{Open: f.Open, RequireKnownSigner: f.RequireKnownSigner, RevokedIDs: f.RevokedIDs, Lenient: f.Lenient}
	if p.Signers, p.Warnings, err = netcache.ParseCertificates(f.Signers); err != nil {
		return p, fmt.Errorf("signers: %w", err)
	}
	revoked, warnings, err := netcache.ParseCertificates(f.Revoked)
	if err == nil && len(warnings) > 0 {
		err = errors.New(warnings[0])
	}
	if p.Revoked = revoked; err != nil {
		return p, fmt.Errorf("revoked: %w", err)
	}
	for i, a := range f.Accounts {
		if a.Certificate != "" {
			block, _ := pem.Decode([]byte(a.Certificate))
			if block == nil || block.Type != "CERTIFICATE" {
				return p, fmt.Errorf("account %d: not a certificate", i+1)
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return p, fmt.Errorf("account %d: %w", i+1, err)
			}
			a.Identity = Identity(c)
		}
		if raw, err := hex.DecodeString(a.Identity); err != nil || len(raw) != sha256.Size || a.Identity != strings.ToLower(a.Identity) {
			return p, fmt.Errorf("account %d (%s): neither a certificate nor an identity of 64 hex digits", i+1, a.Name)
		}
		p.Accounts = append(p.Accounts, a.Account)
	}
	return p, nil
}

// Always returns a policy that never changes, for Options.
func Always(p Policy) func() *Policy { return func() *Policy { return &p } }

// writer returns the account of a client with the certificate c, nil = it has none, or an error
// (errs.Denied) when it may write nothing.
func (p *Policy) writer(c *x509.Certificate) (Account, error) {
	if c != nil {
		id := Identity(c)
		for _, a := range p.Accounts {
			if a.Identity == id {
				return a, nil
			}
		}
		if !p.Open {
			return Account{}, errs.Errorf(errs.Denied, "the client certificate belongs to no account: identity %s", id)
		}
	}
	if !p.Open {
		return Account{}, errs.Errorf(errs.Denied, "writing needs a TLS client certificate")
	}
	return Account{}, nil
}

// may returns an error (errs.Denied) unless the account may put key.
func (a Account) may(key string) error {
	for _, prefix := range a.Prefixes {
		if strings.HasPrefix(key, prefix) {
			return nil
		}
	}
	if len(a.Prefixes) == 0 {
		return nil
	}
	return errs.Errorf(errs.Denied, "account %s may not put key %q", a.Name, key)
}

// admit returns the id of the known key that signed e, "" for none, or an error when e
// is not to be stored under key.
func (p *Policy) admit(key string, e netcache.Entry) (signer string, warning error, err error) {
	signer, known := p.signer(e)
	if p.revoked(e, signer) {
		return "", nil, errs.Errorf(errs.Denied, "the entry is signed by a revoked key")
	}
	if p.RequireKnownSigner && !known {
		return "", nil, errs.Errorf(errs.Denied, "the entry is not signed by a known key")
	}
	if netcache.Binding(key, e) == netcache.Mismatch {
		// A signed statement names its key: under any other one it is a mistake or an attack.
		err := errs.Errorf(errs.Invalid, "the metadata belong to another key than %q", key)
		if !p.Lenient || netcache.HasStatement(e) {
			return "", nil, err
		}
		warning = err
	}
	return signer, warning, nil
}

// signer returns the id of the known key that signed e.
func (p *Policy) signer(e netcache.Entry) (id string, known bool) {
	if s, err := netcache.ReadStatement(e, p.Signers); err == nil {
		return s.KeyID, true
	}
	k, ok := netcache.Signer(p.Signers, e)
	return k.ID, ok
}

// revoked reports whether e has a signature of a revoked key, or came signed by
// signer and that is revoked now.
func (p *Policy) revoked(e netcache.Entry, signer string) bool {
	for _, id := range p.RevokedIDs {
		if id == signer || netcache.StatementKeyID(e) == id {
			return true
		}
	}
	for _, k := range p.Revoked {
		if k.ID == signer || netcache.StatementKeyID(e) == k.ID || netcache.Verify(k, e) {
			return true
		}
	}
	return false
}
