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
	"slices"
	"testing"
	"time"
)

// npmRegistry is an npm registry with one package, npm, whose tarball the document names with a query.
func npmRegistry(t *testing.T) *httptest.Server {
	const document = `{"name":"npm","version":"1.0.0","main":"index.js"}`
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{"package/package.json": document, "package/index.js": "module.exports='npm'"} {
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
		case "/npm":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"name":"npm","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"npm","version":"1.0.0",`+
				`"main":"index.js","dist":{"tarball":"http://%s/npm/-/npm-1.0.0.tgz?mine=1","integrity":"sha512-%s"}}}}`,
				r.Host, base64.StdEncoding.EncodeToString(sum[:]))
		case "/npm/-/npm-1.0.0.tgz":
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
	origin := npmRegistry(t)
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
	run := func(path, work string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "npm", append(args, "--registry", face+path, "--no-audit", "--no-fund",
			"--no-update-notifier", "--cache", filepath.Join(work, "cache"))...)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "HOME="+work, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", path, err, out)
		}
		if b, err := os.ReadFile(filepath.Join(work, "node_modules", "npm", "index.js")); err != nil || string(b) != "module.exports='npm'" {
			t.Errorf("%s: got %q, %v", path, b, err)
		}
	}
	for n, path := range []string{"/_npm/", "/at/today/_npm/", "/_npm/", "/at/today/_npm/"} {
		if n == 2 {
			origin.Close()
		}
		work := t.TempDir()
		run(path, work, "install", "npm")
		lock, err := os.ReadFile(filepath.Join(work, "package-lock.json"))
		if err != nil || !bytes.Contains(lock, []byte(face+path+"npm/-/outside-")) {
			t.Errorf("%s: the lock names another address: %s, %v", path, lock, err)
		}
		if n != 0 {
			continue
		}
		// A lock that was made elsewhere: npm moves what is in it below the cache.
		_, after, _ := bytes.Cut(lock, []byte(face+path+"npm/-/"))
		file, _, _ := bytes.Cut(after, []byte(`"`))
		lock = bytes.ReplaceAll(lock, slices.Concat([]byte(face+path+"npm/-/"), file), []byte("http://registry.invalid/npm/-/npm-1.0.0.tgz"))
		if err := os.WriteFile(filepath.Join(work, "package-lock.json"), lock, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(work, "cache")); err != nil {
			t.Fatal(err)
		}
		run(path, work, "ci", "--replace-registry-host", "registry.invalid")
	}
}
