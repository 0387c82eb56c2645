package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/errs"
	"overland/internal/netcache/server"
)

// certificate returns a self-signed certificate of a new key.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestParsePolicy(t *testing.T) {
	c := certificate(t, "alice")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Leaf.Raw})
	quoted, err := json.Marshal(string(text))
	if err != nil {
		t.Fatal(err)
	}
	id := server.Identity(c.Leaf)
	p, err := server.ParsePolicy(strings.NewReader(`{"accounts":[{"name":"alice","certificate":` + string(quoted) + `},
		{"name":"bob","identity":"` + id + `","prefixes":["pypi:"]}],
		"signers":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n","requireKnownSigner":true,"revoked":` + string(quoted) + `,"revokedIds":["ab"]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []server.Account{{Name: "alice", Identity: id}, {Name: "bob", Identity: id, Prefixes: []string{"pypi:"}}}
	if diff := cmp.Diff(want, p.Accounts); diff != "" || !p.RequireKnownSigner || len(p.Warnings) != 1 || len(p.Revoked) != 1 || len(p.RevokedIDs) != 1 {
		t.Errorf("%s %+v", diff, p)
	}
	for name, bad := range map[string]string{
		"unknown name":        `{"opne":true}`,
		"two values":          `{} {}`,
		"nobody":              `{"accounts":[{"name":"a"}]}`,
		"upper case":          `{"accounts":[{"identity":"` + strings.ToUpper(id) + `"}]}`,
		"no certificate":      `{"accounts":[{"certificate":"x"}]}`,
		"private key":         `{"signers":"-----BEGIN RSA PRIVATE KEY-----"}`,
		"revoked, unreadable": `{"revoked":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}`,
	} {
		if p, err := server.ParsePolicy(strings.NewReader(bad)); errs.KindOf(err) != errs.Invalid || len(p.Accounts) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
