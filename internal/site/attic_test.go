package site

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

const (
	atticRelease = "dists/calm/InRelease"
	atticIndex   = "dists/calm/main/binary-amd64/Packages"
)

// attic is a signed Debian archive with the package attic-tea, and whoever sits between it
// and a site. It has no by-hash.
type attic struct {
	*httptest.Server
	t   *testing.T
	key *openpgp.Entity

	mu    sync.Mutex
	files map[string][]byte // by path below the archive
	asked map[string]int
}

func newAttic(t *testing.T) *attic {
	t.Helper()
	key, err := openpgp.NewEntity("attic", "", "attic@invalid", nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &attic{t: t, key: key, files: map[string][]byte{}, asked: map[string]int{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *attic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/attic/")
	a.mu.Lock()
	b, ok := a.files[name]
	a.asked[name]++
	a.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(b)
}

func (a *attic) put(name string, b []byte) { a.mu.Lock(); a.files[name] = b; a.mu.Unlock() }

// keyFile writes the archive's public key and returns its path.
func (a *attic) keyFile() string {
	a.t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.key.Serialize(w) != nil || w.Close() != nil {
		a.t.Fatal("the key is not written")
	}
	path := filepath.Join(a.t.TempDir(), "attic.asc")
	if err := os.WriteFile(path, append(b.Bytes(), '\n'), 0o644); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// source returns the line of a sources.list for the archive at base, whose key is in keyFile.
func source(base, keyFile string) string {
	return fmt.Sprintf("deb [arch=amd64 signed-by=%s] %s/attic calm main", keyFile, base)
}

func pool(version string) string { return "pool/attic-tea_" + version + "_amd64.deb" }

// publish makes the version the only one that the index lists, with an InRelease that is valid
// until then. Packages of before stay in the pool.
func (a *attic) publish(version string, until time.Time) {
	a.t.Helper()
	dir := a.t.TempDir()
	for name, text := range map[string]string{
		"DEBIAN/control": "Package: attic-tea\nVersion: " + version + "\nArchitecture: amd64\nMaintainer: attic <attic@invalid>\nDescription: tea\n",
		"opt/tea":        version,
	} {
		path := filepath.Join(dir, "tea", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			a.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			a.t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "tea.deb")
	if out, err := exec.CommandContext(a.t.Context(), "dpkg-deb", "--build", "--root-owner-group", filepath.Join(dir, "tea"), file).CombinedOutput(); err != nil {
		a.t.Fatalf("%v\n%s", err, out)
	}
	deb, err := os.ReadFile(file)
	if err != nil {
		a.t.Fatal(err)
	}
	a.put(pool(version), deb)
	index := fmt.Appendf(nil, "Package: attic-tea\nVersion: %s\nArchitecture: amd64\nMaintainer: attic <attic@invalid>\nFilename: %s\nSize: %d\nSHA256: %x\n"+
		"Description: tea\n", version, pool(version), len(deb), sha256.Sum256(deb))
	a.put(atticIndex, index)
	a.put(atticRelease, a.sign(fmt.Sprintf("Suite: calm\nCodename: calm\nComponents: main\nArchitectures: amd64\nDate: %s\nValid-Until: %s\nSHA256:\n %x %d %s\n",
		stamp(time.Now().Add(-time.Second)), stamp(until), sha256.Sum256(index), len(index), strings.TrimPrefix(atticIndex, "dists/calm/"))))
}

func stamp(t time.Time) string { return t.UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC") }

func (a *attic) sign(text string) []byte {
	a.t.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, a.key.PrivateKey, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		a.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		a.t.Fatal(err)
	}
	return out.Bytes()
}

// cachedSite runs a site in a new directory whose cache has the upstreams, and returns the
// directory and the cache's address.
func cachedSite(t *testing.T, upstreams map[string][]string) (dir, addr string) {
	t.Helper()
	dir = t.TempDir()
	ready := make(chan string, 1)
	start(t, dir, Options{Cache: CacheOptions{Listen: "127.0.0.1:0", Upstreams: upstreams, Ready: func(a string) { ready <- a }}})
	return dir, <-ready
}
