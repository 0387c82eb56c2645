package cache_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"overland/internal/ecosystem/golang"
	"overland/internal/ecosystem/tool"
	cacheserver "overland/internal/server/cache"
)

const dependency = "pgregory.net/rapid" // one of this module's own, so it is on every machine that runs the tests

// modules serves the module cache of this machine as a proxy does.
func modules(t *testing.T) *httptest.Server {
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(filepath.Join(strings.TrimSpace(string(out)), "cache", "download")))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The go command fetches what is asked for by version without this one.
		if base := filepath.Base(r.URL.Path); strings.HasSuffix(base, ".info") {
			io.WriteString(w, `{"Version":"`+strings.TrimSuffix(base, ".info")+`"}`)
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// download runs the real `go mod download` of a program that needs the
// dependency, with empty caches.
func download(t *testing.T, proxy string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	work, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	require := regexp.MustCompile(`(?m)^\s` + dependency + ` (v\S+)`).FindSubmatch(work)
	sums, err := os.ReadFile("../../../go.sum")
	if err != nil || require == nil {
		t.Fatalf("%s in go.mod: %q, %v", dependency, require, err)
	}
	for name, text := range map[string]string{
		"go.mod": "module example.org/x\n\ngo 1.23\n\nrequire " + dependency + " " + string(require[1]) + "\n",
		"go.sum": string(sums),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY="+proxy, "GOSUMDB=off", "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "GOWORK=off",
		"GOENV=off", "GOPATH="+filepath.Join(dir, "gopath"), "GOMODCACHE="+filepath.Join(dir, "modules"), "HTTP_PROXY=", "http_proxy=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The go command fetches a module through the cache; with its origin dead, and empty caches, it
// fetches it again, also as of a freeze.
func TestGoModDownload(t *testing.T) {
	b := newBench(t)
	origin := modules(t)
	p, err := golang.New(golang.Env{GOPROXY: origin.URL, GOSUMDB: "off"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	face := httptest.NewServer(cacheserver.New(b.Cache, &tool.Server{Protocol: p}))
	t.Cleanup(face.Close)
	if _, err := b.Freeze(t.Context(), "today", time.Time{}); err != nil {
		t.Fatal(err)
	}
	var first string
	for n, path := range []string{"/go", "/go", "/at/today/go"} {
		out, err := download(t, face.URL+path)
		if err != nil {
			t.Fatalf("%s: %v\n%s", path, err, out)
		}
		sum := regexp.MustCompile(`"Sum": "h1:[^"]+"`).FindString(out)
		if n == 0 {
			first = sum
			origin.Close()
			b.later(100 * time.Hour)
		}
		if sum == "" || sum != first {
			t.Errorf("%s: %q, first %q", path, sum, first)
		}
	}
	if out, err := download(t, face.URL+"/at/never/go"); err == nil || !strings.Contains(out, "there is no freeze") {
		t.Errorf("a freeze that is not there: %v\n%s", err, out)
	}
}
