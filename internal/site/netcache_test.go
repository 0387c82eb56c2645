package site

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/home"
	"overland/internal/netcache/server"
)

// post sends body to url with a client certificate, if any, and returns the status and the answer.
func post(t *testing.T, url, body string, certs ...tls.Certificate) (int, string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certs}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Post(url, "application/octet-stream", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// Everybody may read the network cache; to write, a client shows a
// certificate that the policy names.
func TestTheNetworkCacheIsWrittenWithACertificate(t *testing.T) {
	t.Setenv("GOSUMDB", "off")
	dir, other := t.TempDir(), t.TempDir()
	if _, err := Init(other); err != nil { // its certificate is as good as any
		t.Fatal(err)
	}
	alice, err := tls.LoadX509KeyPair(filepath.Join(home.TLS.In(other), "cert.pem"), filepath.Join(home.TLS.In(other), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	policy := `{"accounts":[{"name":"alice","identity":"` + server.Identity(alice.Leaf) + `"}]}`
	if err := os.MkdirAll(home.Netcache.In(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(home.Policy.In(dir), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := make(chan string, 1)
	o := Options{Cache: CacheOptions{
		Listen: "127.0.0.1:0", Ready: func(a string) { addr <- a },
		Upstreams: map[string][]string{"npm": {"http://127.0.0.1:1"}, "go": {"http://127.0.0.1:1"}},
	}}
	url, stop := start(t, dir, o)
	secure, _, _ := strings.Cut(url, "#")
	face := "http://" + <-addr
	if status, _ := post(t, face+"/shacache", "egg"); status != 403 {
		t.Errorf("over plain HTTP: %d", status)
	}
	if status, _ := post(t, secure+"/shacache", "egg"); status != 403 {
		t.Errorf("without a certificate: %d", status)
	}
	status, name := post(t, secure+"/shacache", "egg", alice)
	if status != 201 {
		t.Fatalf("with a certificate: %d %s", status, name)
	}
	if status, body := get(t, strings.TrimPrefix(face, "http://"), "/shacache/"+name); status != 200 || body != "egg" {
		t.Errorf("read: %d %q", status, body)
	}
	// Who is struck off while the site runs may write no more; a file that
	// cannot be read changes nothing.
	for _, step := range []struct {
		policy string
		want   int
	}{{`{}`, 403}, {policy, 201}, {`{"accounts":`, 201}, {"", 403}} {
		path := home.Policy.In(dir)
		err := os.Remove(path)
		if err == nil && step.policy != "" {
			err = os.WriteFile(path, []byte(step.policy), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if status, body := post(t, secure+"/shacache", "egg", alice); status != step.want {
			t.Errorf("policy %.20q: %d %s, want %d", step.policy, status, body, step.want)
		}
	}
	stop()

	o.Cache.Writes = true
	_, stop = start(t, dir, o)
	face = "http://" + <-addr
	if status, _ := post(t, face+"/shacache", "ham"); status != 201 {
		t.Errorf("open: %d", status)
	}
	stop()
	events, err := Audit(t.Context(), dir, 100)
	if err != nil || len(events) < 3 || events[0].Account != "" || events[0].Result != "stored" {
		t.Errorf("audit log: %+v, %v", events, err)
	}
	if !slices.ContainsFunc(events, func(e AuditEvent) bool { return e.Account == "alice" && e.Result == "stored" && e.SHA512 == name }) {
		t.Errorf("audit log: %+v: not what alice wrote", events)
	}
}

func TestTheNetworkCacheIsKept(t *testing.T) {
	dir := t.TempDir()
	s := openDepot(t, dir)
	n, err := openNetcache(t.Context(), dir, s, false, nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.shelf.PutBlob(t.Context(), strings.NewReader("egg"), "", -1, 100); err != nil {
		t.Fatal(err)
	}
	keep, err := rootsOf(t, dir, s)
	if err != nil || !keep[digest.Of([]byte("egg"))] {
		t.Errorf("got %v, %v", keep, err)
	}
}

// What kept the policy from being read may pass without a trace on the file: who was
// revoked there must not stay for that.
func TestAPolicyIsTriedAgain(t *testing.T) {
	const broken, good = `{"open": tru?}`, `{"open": true}`
	path := filepath.Join(t.TempDir(), "policy.json")
	var said bytes.Buffer
	p := &policyOnDisk{path: path, log: slog.New(slog.NewTextHandler(&said, nil))}
	if err := p.read(); err != nil {
		t.Fatal(err)
	}
	then := time.Unix(1e9, 0)
	for _, step := range []struct {
		text string
		want bool
	}{{broken, false}, {broken, false}, {good, true}} {
		if err := errors.Join(os.WriteFile(path, []byte(step.text), 0o600), os.Chtimes(path, then, then)); err != nil {
			t.Fatal(err)
		}
		if got := p.now().Open; got != step.want {
			t.Errorf("%s: open is %v", step.text, got)
		}
	}
	if n := strings.Count(said.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors in the log, want 1:\n%s", n, &said)
	}
}
