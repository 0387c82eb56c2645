package site

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// registry is an npm registry with one package, hello.
func registry(t *testing.T) *httptest.Server {
	const document = `{"name":"hello","version":"1.0.0","main":"index.js"}`
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{"package/package.json": document, "package/index.js": "module.exports='hello'"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if w.Close() != nil || z.Close() != nil {
		t.Fatal("the package is not packed")
	}
	sum := sha512.Sum512(packed.Bytes())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hello":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"name":"hello","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"hello","version":"1.0.0",`+
				`"main":"index.js","dist":{"tarball":"http://%s/hello/-/hello-1.0.0.tgz","integrity":"sha512-%s"}}}}`,
				r.Host, base64.StdEncoding.EncodeToString(sum[:]))
		case "/hello/-/hello-1.0.0.tgz":
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(packed.Bytes())
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// The real npm installs through the cache; with the registry gone, and empty caches, it does
// so again, also as of a freeze.
func TestNpmInstallsThroughTheCache(t *testing.T) {
	t.Setenv("GOSUMDB", "off")
	origin := registry(t)
	dir := t.TempDir()
	addr := make(chan string, 1)
	_, stop := start(t, dir, Options{Cache: CacheOptions{
		Listen: "127.0.0.1:0", Ready: func(a string) { addr <- a },
		Upstreams: map[string][]string{"npm": {origin.URL}, "go": {origin.URL}},
	}})
	defer stop()
	face := "http://" + <-addr
	k, err := OpenCache(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err := k.Freeze(t.Context(), "today", time.Time{}); err != nil {
		t.Fatal(err)
	}
	for n, path := range []string{"/npm/", "/at/today/npm/", "/npm/", "/at/today/npm/"} {
		if n == 2 {
			origin.Close()
		}
		work := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "npm", "install", "hello", "--registry", face+path, "--no-audit", "--no-fund",
			"--no-update-notifier", "--cache", filepath.Join(work, "cache"))
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "HOME="+work, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", path, err, out)
		}
		if b, err := os.ReadFile(filepath.Join(work, "node_modules", "hello", "index.js")); err != nil || string(b) != "module.exports='hello'" {
			t.Errorf("%s: got %q, %v", path, b, err)
		}
		if b, err := os.ReadFile(filepath.Join(work, "package-lock.json")); err != nil || !bytes.Contains(b, []byte(face+path+"hello/-/")) {
			t.Errorf("%s: the lock names another address: %s, %v", path, b, err)
		}
	}
}
