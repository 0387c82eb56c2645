package registry_test

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/auth"
	"overland/internal/db/sqlite"
	"overland/internal/digest"
	domain "overland/internal/registry"
	"overland/internal/server/registry"
	storedir "overland/internal/store/dir"
)

// bench is a registry over HTTPS, from which everybody may pull what is below public/.
type bench struct {
	url      string
	client   *http.Client
	accounts *auth.Accounts
	registry *domain.Registry
	ca       []byte // the certificate of the server, in PEM
}

func newBench(t *testing.T, o domain.Options, more ...func(dir string, blobs *storedir.Store, o *registry.Options)) *bench {
	t.Helper()
	dir := t.TempDir()
	blobs, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := sqlite.Open(t.Context(), filepath.Join(dir, "site.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = facts.Close() })
	r, err := domain.Open(blobs, facts, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	b := &bench{accounts: auth.Open(facts), registry: r}
	anyone := []auth.Grant{{Action: auth.Pull, Pattern: "public/**"}}
	face := registry.Options{Accounts: b.accounts, Anyone: anyone}
	for _, m := range more {
		m(dir, blobs, &face)
	}
	s := httptest.NewUnstartedServer(registry.New(r, face))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	b.url, b.client = s.URL, s.Client()
	b.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return b
}

// account adds an account and returns its token.
func (b *bench) account(t *testing.T, name string, grants ...auth.Grant) string {
	t.Helper()
	token, err := b.accounts.Make(t.Context(), name, grants, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// answer is what a request came to.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; login is NAME:TOKEN, "" = none.
func (b *bench) do(t *testing.T, method, path, login, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if name, token, ok := strings.Cut(login, ":"); ok {
		r.SetBasicAuth(name, token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// push pushes text as a blob of repository.
func (b *bench) push(t *testing.T, login, repository, text string) string {
	t.Helper()
	d := string(digest.Of([]byte(text)))
	if got := b.do(t, "POST", "/v2/"+repository+"/blobs/uploads/?digest="+d, login, text); got.status != http.StatusCreated {
		t.Fatalf("push: %d %s", got.status, got.body)
	}
	return d
}

// manifest returns a manifest with the config {} and one layer.
func manifest(layer string, more string) string {
	var b bytes.Buffer
	b.WriteString(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` + more)
	b.WriteString(`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + string(digest.Of([]byte("{}"))) + `","size":2},`)
	b.WriteString(`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"` + layer + `","size":1}]}`)
	return b.String()
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// inMemory has t's folders in memory: what it holds survives a kill, and thousands of small files cost no disk.
func inMemory(t *testing.T) {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", memory)
	}
}
