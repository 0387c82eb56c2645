package cache_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/cache"
	"overland/internal/cache/cachetest"
	"overland/internal/digest"
	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	cacheserver "overland/internal/server/cache"
	storedir "overland/internal/store/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files is a protocol whose things lie at an origin: what is below i/ can change.
type files struct{ origin string }

func (files) Name() string { return "fix" }

func (f files) Item(r *http.Request) (record.Item, error) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	if strings.Contains(key, "..") {
		return record.Item{}, errs.Errorf(errs.Invalid, "key %q", key)
	}
	return record.Item{Protocol: "fix", Key: key, Upstream: f.origin + "/" + url.PathEscape(key), Mutable: strings.HasPrefix(key, "i/")}, nil
}

func (f files) ItemOf(key string) (record.Item, error) { return record.ByPath(f, key) }

func (files) Check(context.Context, record.Item, io.ReadSeeker, record.Lookup) (lockfile.Proof, error) {
	return lockfile.Proof{Kind: "fix", Value: "good"}, nil
}

func (files) Serve(_ record.Item, e lockfile.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	return body, e.MediaType, nil
}

// bench is a cache, its origin and its time.
type bench struct {
	*cache.Cache
	p files

	mu     sync.Mutex
	now    time.Time
	things map[string]string // of the origin, by path
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{now: time.Date(2026, 1, 6, 12, 0, 0, 0, time.UTC), things: map[string]string{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		body, ok := b.things[strings.TrimPrefix(r.URL.Path, "/")]
		b.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	b.p = files{srv.URL}
	dir := t.TempDir()
	s, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	b.Cache, err = cache.Open(t.Context(), filepath.Join(dir, "cache"), s, cache.Options{
		Facts:    &cachetest.Memory{},
		Clock:    func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now },
		Upstream: &origin.Client{Transport: transport, Tries: 1, Dir: dir},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) set(key, body string) { b.mu.Lock(); b.things[key] = body; b.mu.Unlock() }

func (b *bench) later(d time.Duration) { b.mu.Lock(); b.now = b.now.Add(d); b.mu.Unlock() }

func (b *bench) served() *tool.Server { return &tool.Server{Protocol: b.p} }

// want has b hold what is under key.
func (b *bench) want(t *testing.T, key string) {
	t.Helper()
	it, err := b.p.ItemOf(key)
	if err != nil {
		t.Fatal(err)
	}
	_, blob, err := b.Get(t.Context(), b.p, it)
	if err != nil {
		t.Fatal(err)
	}
	blob.Close()
}

func TestHandler(t *testing.T) {
	b := newBench(t)
	b.set("a.zip", "alpha")
	face := httptest.NewServer(cacheserver.New(b.Cache, b.served()))
	t.Cleanup(face.Close)
	for _, c := range []struct {
		method, path, rng string
		status            int
		body              string
	}{
		{"GET", "/fix/a.zip", "", 200, "alpha"},
		{"GET", "/fix/a.zip", "bytes=1-2", 206, "lp"},
		{"HEAD", "/fix/a.zip", "", 200, ""},
		{"PUT", "/fix/a.zip", "", 405, ""},
		{"GET", "/fix/none", "", 404, ""},
		{"GET", "/fix/../x", "", 400, ""},
		{"GET", "/other/a.zip", "", 404, ""},
		{"GET", "/at/none/fix/a.zip", "", 404, ""},
		{"GET", "/at/", "", 404, ""},
		{"GET", "/", "", 404, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, face.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Path = c.path
		if c.rng != "" {
			req.Header.Set("Range", c.rng)
		}
		res, err := face.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.status || c.status < 300 && string(body) != c.body {
			t.Errorf("%s %s %s: %d %.60q %v, want %d %q", c.method, c.path, c.rng, res.StatusCode, body, err, c.status, c.body)
		}
	}
}

// A client that has what the cache has is told so by date too; one with a younger
// date is not: it comes to a freeze.
func TestLastModified(t *testing.T) {
	b := newBench(t)
	b.set("i/x", "one")
	b.want(t, "i/x")
	day := b.now
	b.later(time.Hour)
	face := httptest.NewServer(cacheserver.New(b.Cache, b.served()))
	t.Cleanup(face.Close)
	for since, want := range map[time.Time]int{{}: 200, day: 304, day.Add(time.Hour): 200, day.Add(-time.Hour): 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, face.URL+"/fix/i/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		if !since.IsZero() {
			req.Header.Set("If-Modified-Since", since.Format(http.TimeFormat))
		}
		res, err := face.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want || want == 200 && res.Header.Get("Last-Modified") != day.Format(http.TimeFormat) {
			t.Errorf("since %s: %d, %v; want %d", since, res.StatusCode, res.Header, want)
		}
	}
}

// What one cache says of a key another one can read.
func TestEntries(t *testing.T) {
	b := newBench(t)
	b.set("i/a b", "list")
	face := httptest.NewServer(cacheserver.Entries(b.Cache, "/v1/cache", b.served()))
	defer face.Close()
	for path, want := range map[string]int{
		"/v1/cache/fix/i%2Fa%20b": 200, "/v1/cache/fix/i%2Fabsent": 404, "/v1/cache/gopher/x": 404, "/v1/cache/fix/..%2Fx": 400,
		"/v1/cache/fix/i%2Fa%20b?x": 400, "/v1/cache": 404,
	} {
		res, err := face.Client().Get(face.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != want {
			t.Errorf("%s: %d %s, %v", path, res.StatusCode, body, err)
		}
		if want != 200 {
			continue
		}
		f, err := cache.ParseFound(body)
		if err != nil || f.Blob != digest.Of([]byte("list")) || f.Size != 4 || f.MediaType != "application/octet-stream" || f.ETag == "" {
			t.Errorf("%s: %+v, %v", path, f, err)
		}
		if got := res.Header.Get("Cache-Control"); got != "no-store" { // an entry may be replaced
			t.Errorf("%s: Cache-Control %q", path, got)
		}
	}
	res, err := face.Client().Post(face.URL+"/v1/cache/fix/i%2Fa%20b", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("POST: %d", res.StatusCode)
	}
}

// A tool that uses the cache as its proxy gets what is served, and
// nothing else, also as of a freeze.
func TestProxy(t *testing.T) {
	b := newBench(t)
	b.set("a.zip", "alpha")
	below := func(u *url.URL) string { return strings.TrimPrefix(u.Path, "/archive") }
	served := b.served()
	served.Below = func(u *url.URL) string {
		if u.Host != "archive.invalid" {
			return ""
		}
		return below(u)
	}
	if _, err := b.Freeze(t.Context(), "today", time.Time{}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(cacheserver.New(b.Cache, served))
	t.Cleanup(srv.Close)
	for _, c := range []struct {
		user, url string
		status    int
		text      string
	}{
		{"", "http://archive.invalid/archive/a.zip", 200, "alpha"},
		{"today", "http://archive.invalid/archive/a.zip", 200, "alpha"},
		{"tomorrow", "http://archive.invalid/archive/a.zip", 404, "there is no freeze"},
		{"a/../b", "http://archive.invalid/archive/a.zip", 403, "not the name of a freeze"},
		{"", "http://elsewhere.invalid/archive/a.zip", 403, "not in a source of the site"},
	} {
		proxy, err := url.Parse(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		if c.user != "" {
			proxy.User = url.User(c.user)
		}
		tr := &http.Transport{Proxy: http.ProxyURL(proxy)}
		through := &http.Client{Transport: tr}
		res, err := through.Get(c.url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		posted, e := through.Post(c.url, "text/plain", strings.NewReader("x"))
		if e != nil {
			t.Fatal(e)
		}
		posted.Body.Close()
		if posted.StatusCode != http.StatusForbidden {
			t.Errorf("POST %s: %d", c.url, posted.StatusCode)
		}
		tr.CloseIdleConnections()
		if err != nil || res.StatusCode != c.status || !strings.Contains(string(body), c.text) {
			t.Errorf("%s as %q: %d %q, %v", c.url, c.user, res.StatusCode, body, err)
		}
	}
}

// One line for each tool; a URL or a name that a shell would read is refused.
func TestLines(t *testing.T) {
	lines, err := cacheserver.Lines("http://10.0.0.1:3142/", "tuesday")
	if err != nil || len(lines) != 6 || lines[0] != "go env -w GOPROXY=http://10.0.0.1:3142/at/tuesday/go" {
		t.Errorf("%q, %v", lines, err)
	}
	if lines, err := cacheserver.Lines("https://site:8443/cache", ""); err != nil || lines[0] != "go env -w GOPROXY=https://site:8443/cache/go" {
		t.Errorf("%q, %v", lines, err)
	}
	for _, bad := range [][2]string{
		{"http://x/%zz", ""}, {"http://", ""}, {"http:///x", ""}, {"http://x?y", ""}, {"http://x#y", ""}, {"x:3142", ""}, {"ftp://x", ""}, {"http://x/$(id)", ""}, {"http://u@x", ""}, {"http://x", "../y"},
	} {
		if _, err := cacheserver.Lines(bad[0], bad[1]); errs.KindOf(err) != errs.Invalid || err == nil {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
