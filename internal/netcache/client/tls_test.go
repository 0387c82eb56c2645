package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/netcache"
)

// issue returns a certificate for the IP address, none for nil;
// signed by parent, by itself for nil.
func issue(t *testing.T, ip net.IP, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: parent == nil, BasicConstraintsValid: true,
	}
	if ip != nil {
		c.IPAddresses = []net.IP{ip}
	}
	signer, by := any(key), c
	if parent != nil {
		signer, by = parent.PrivateKey, parent.Leaf
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}

// A server is who its certificate says, by an authority of the file or by being in it; an
// Overland site's names no host.
func TestWhoTheServerIs(t *testing.T) {
	authority := issue(t, nil, nil)
	here := net.IPv4(127, 0, 0, 1)
	site, stranger := issue(t, nil, nil), issue(t, here, nil)
	for name, test := range map[string]struct {
		server, file tls.Certificate
		ok           bool
	}{
		"its own certificate":     {site, site, true},
		"of an authority":         {issue(t, here, &authority), authority, true},
		"of it, for another host": {issue(t, net.IPv4(127, 0, 0, 9), &authority), authority, false},
		"of it, for no host":      {issue(t, nil, &authority), authority, false},
		"of another authority":    {stranger, authority, false},
		"another one of its kind": {issue(t, nil, nil), site, false},
	} {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{test.server}}
		srv.StartTLS()
		file := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: test.file.Certificate[0]}), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := newService(srv.URL, netcache.TLSFiles{CA: file})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.do(t.Context(), http.MethodGet, "x", nil, 0, nil)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != test.ok || (err != nil && (errs.KindOf(err) != errs.Unavailable || !strings.Contains(errs.HintOf(err), "ca-file"))) {
			t.Errorf("%s: %v · %s", name, err, errs.HintOf(err))
		}
		s.http.CloseIdleConnections()
		srv.Close()
	}
	if _, err := newService("https://127.0.0.1:1", netcache.TLSFiles{CA: "/dev/null"}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("an empty file: %v", err)
	}
}

// The key of an account is as private as the one that signs.
func TestTheKeyOfAnAccount(t *testing.T) {
	c := issue(t, nil, nil)
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key, both := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "both")
	certText := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	keyText := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for path, text := range map[string][]byte{cert: certText, key: keyText, both: append(certText, keyText...)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, files := range map[string]netcache.TLSFiles{"two files": {Cert: cert, Key: key}, "one file": {Cert: both}} {
		if _, err := newService("https://127.0.0.1:1", files); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, files := range map[string]netcache.TLSFiles{"two files": {Cert: cert, Key: key}, "one file": {Cert: both}} {
		for _, path := range []string{key, both} {
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := newService("https://127.0.0.1:1", files); errs.KindOf(err) != errs.Denied || errs.HintOf(err) == "" {
			t.Errorf("%s, and others may read it: %v", name, err)
		}
	}
}

// Nobody is led out of TLS.
func TestRedirectOutOfTLS(t *testing.T) {
	asked := false
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := newService(secure.URL, netcache.TLSFiles{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer s.http.CloseIdleConnections()
	resp, err := s.do(t.Context(), http.MethodGet, "x", nil, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusFound || asked {
		t.Errorf("%d, asked %v", resp.StatusCode, asked)
	}
}
