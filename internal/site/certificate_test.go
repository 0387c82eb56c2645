package site

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/home"
)

// Ordinary TLS clients reach a site with its certificate as a file, by each of its names and by no
// other; nodes, which know the key, see no change.
func TestOrdinaryClientsWithACAFile(t *testing.T) {
	dir := newSite(t)
	url, _ := start(t, dir, Options{Names: []string{"site.example", "203.0.113.7"}})
	_, port, _ := strings.Cut(addrOf(url), ":")
	text, err := Certificate(dir, "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "site.pem")
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	block := func(name string) string { return fmt.Sprintf("https://%s:%s/v1/health", name, port) }
	for _, name := range []string{"127.0.0.1", "localhost", "site.example", "203.0.113.7", "evil.example"} {
		cmd := exec.CommandContext(t.Context(), "curl", "-sS", "--noproxy", "*", "--cacert", ca, "--connect-to", "::127.0.0.1:"+port, block(name))
		out, err := cmd.CombinedOutput()
		if ok := err == nil && string(out) == "{\"status\":\"ok\"}\n"; ok != (name != "evil.example") {
			t.Errorf("curl %s: %v\n%s", name, err, out)
		}
	}
	const python = `import ssl, sys, urllib.request
c = ssl.create_default_context(cafile=sys.argv[1])
c.verify_flags |= ssl.VERIFY_X509_STRICT
sys.stdout.write(urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=c)).open(sys.argv[2]).read().decode())`
	if out, err := exec.CommandContext(t.Context(), "python3", "-c", python, ca, block("127.0.0.1")).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("ok")) {
		t.Errorf("python: %v\n%s", err, out)
	}
	openssl := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", "127.0.0.1:"+port, "-CAfile", ca, "-verify_return_error", "-verify_ip", "127.0.0.1", "-brief")
	if out, err := openssl.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("Verification: OK")) {
		t.Errorf("openssl: %v\n%s", err, out)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("not a certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(block("localhost"))
	if err != nil {
		t.Fatalf("Go: %v", err)
	}
	resp.Body.Close()
	if c := leaf(t, dir); c.IsCA || c.KeyUsage&x509.KeyUsageCertSign != 0 {
		t.Error("the certificate is an authority: whoever trusts it trusts the site for every name")
	}
}

func leaf(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	key, err := readKey(filepath.Join(home.TLS.In(dir), keyFile))
	if err != nil {
		t.Fatal(err)
	}
	c, err := readCertificate(filepath.Join(home.TLS.In(dir), certFile), key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A new name makes the certificate again, with the key that nodes have pinned and the old names; the
// same names do not.
func TestTheCertificateIsMadeAgainForNewNames(t *testing.T) {
	dir := newSite(t)
	s, _, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	o := Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Names: []string{"one.example"}}
	certify := func() *x509.Certificate {
		t.Helper()
		if err := s.certify(o, "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if c := leaf(t, dir); !c.Equal(s.cert.Load().Leaf) {
			t.Error("another certificate is served than the one in the file")
		}
		return s.cert.Load().Leaf
	}
	one := certify()
	if !certify().Equal(one) || log.Len() > 0 {
		t.Errorf("made again without a reason: %s", &log)
	}
	o.Names = []string{"two.example", "203.0.113.7"}
	two := certify()
	for _, name := range []string{"one.example", "two.example", "203.0.113.7", "localhost", "::1"} {
		if err := two.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(one.RawSubjectPublicKeyInfo, two.RawSubjectPublicKeyInfo) {
		t.Error("nodes do not know the site any more")
	}
	if !strings.Contains(log.String(), "overland site certificate") {
		t.Errorf("nobody is told: %s", &log)
	}
	// Another process made it again meanwhile: the site serves what is in the file.
	if err := os.WriteFile(home.Settings.In(dir), []byte("site: 1\nnames: [three.example]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Certificate(dir, "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	if err := certify().VerifyHostname("three.example"); err != nil {
		t.Error(err)
	}
}

func TestACertificateHasOnlySoManyNames(t *testing.T) {
	var n names
	for i := range 100 {
		one := names{dns: []string{fmt.Sprintf("n%d.example", i)}}
		n = one.and(n)
	}
	if len(n.dns) != mostNames || n.dns[0] != "n99.example" {
		t.Errorf("%d names, the first is %s", len(n.dns), n.dns[0])
	}
}
