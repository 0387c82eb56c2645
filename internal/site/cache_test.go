package site

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/cache"
	"overland/internal/cache/cachetest"
	"overland/internal/clock"
	"overland/internal/db"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/lockfile"
	"overland/internal/netcache/server"
	"overland/internal/registry"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/store/storetest"
)

// get returns what the cache at addr answers.
func get(t *testing.T, addr, path string) (int, string) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("http://" + addr + path)
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

// A site fetches for others, and gives the same when its origin is gone, after a restart.
func TestASiteIsACache(t *testing.T) {
	t.Setenv("GOSUMDB", "off")
	const path, mod = "/go/example.org/x/@v/v1.0.0.mod", "module example.org/x\n"
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if "/go"+r.URL.Path != path {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, mod)
	}))
	t.Cleanup(origin.Close)
	dir := t.TempDir()
	addr := make(chan string, 1)
	o := Options{Cache: CacheOptions{
		Listen: "127.0.0.1:0", Upstreams: map[string][]string{"go": {origin.URL}}, Ready: func(a string) { addr <- a },
	}}
	_, stop := start(t, dir, o)
	face := <-addr
	if status, body := get(t, face, path); status != 200 || body != mod {
		t.Errorf("got %d %q", status, body)
	}
	if status, _ := get(t, face, "/go/example.org/y/@v/v1.0.0.mod"); status != 404 {
		t.Errorf("what is not there: %d", status)
	}
	stop()
	origin.Close()
	_, stop = start(t, dir, o)
	face = <-addr
	if status, body := get(t, face, path); status != 200 || body != mod {
		t.Errorf("with the origin gone: %d %q", status, body)
	}
	if err := setOffline(t, dir, true); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, face, "/go/example.org/z/@v/v1.0.0.mod"); status != 503 || !bytes.Contains([]byte(body), []byte("offline")) {
		t.Errorf("offline: %d %q", status, body)
	}
	stop()
}

// setOffline takes a running site offline, or back, as a person does.
func setOffline(t *testing.T, dir string, on bool) error {
	c, err := OpenCache(t.Context(), dir)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.SetOffline(t.Context(), on)
}

func TestCacheMistakes(t *testing.T) {
	for name, o := range map[string]CacheOptions{
		"address":  {Listen: "nowhere"},
		"protocol": {Listen: "127.0.0.1:0", Upstreams: map[string][]string{"gopher": {"http://127.0.0.1:1"}}},
	} {
		if err := Run(t.Context(), newSite(t), Options{Listen: "127.0.0.1:0", Cache: o}); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What a release or a lock names is never evicted; a lock that cannot
// be read means that nothing is.
func TestRoots(t *testing.T) {
	dir := t.TempDir()
	s := openDepot(t, dir)
	tagged, locked, other := []byte("tagged"), []byte("locked"), []byte("other")
	for _, b := range [][]byte{tagged, locked, other} {
		if _, err := store.PutBytes(t.Context(), s, b); err != nil {
			t.Fatal(err)
		}
	}
	desc := ocispec.Descriptor{MediaType: "application/octet-stream", Digest: digest.Of(tagged), Size: int64(len(tagged))}
	if err := s.Tag(t.Context(), "a", desc); err != nil {
		t.Fatal(err)
	}
	l := lockfile.Lock{Entries: []lockfile.Entry{{
		Protocol: "go", Key: "example.org/x/@v/v1.0.0.mod", Status: 200, Blob: digest.Of(locked), Size: int64(len(locked)),
		MediaType: "text/plain", Proof: lockfile.Proof{Kind: "sha256", Value: digest.Of(locked).Encoded()},
	}}}
	var text bytes.Buffer
	if err := l.Write(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(home.Locks.In(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home.Locks.In(dir), "app.lock")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	keep, err := rootsOf(t, dir, s)
	if err != nil || !keep[digest.Of(tagged)] || !keep[digest.Of(locked)] || keep[digest.Of(other)] {
		t.Errorf("got %v, %v", keep, err)
	}
	evictAll(t, dir, s, tagged, locked, other)
	if !storetest.Has(t, s, digest.Of(tagged)) || !storetest.Has(t, s, digest.Of(locked)) || storetest.Has(t, s, digest.Of(other)) {
		t.Error("evicted what is needed, or kept what is not")
	}
	if err := os.WriteFile(path, []byte("no lock"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rootsOf(t, dir, s); err == nil {
		t.Error("a lock that cannot be read was passed over")
	}
}

// evictAll has the site in dir, which runs offline and may keep one byte, evict what it can of
// blobs that were used long ago.
func evictAll(t *testing.T, dir string, s *storedir.Store, blobs ...[]byte) {
	t.Helper()
	held, err := cache.Open(t.Context(), home.Cache.In(dir), s, cache.Options{
		Facts: &cachetest.Memory{}, Clock: clock.At(time.Now().Add(-time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		if err := held.Hold(t.Context(), passed, string(b), digest.Of(b), int64(len(b))); err != nil {
			t.Error(err)
		}
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	known, pictures := openRegistry(t, dir, s)
	o := Options{Cache: CacheOptions{Limit: 1, Offline: true}, Log: slog.New(slog.DiscardHandler)}
	c, err := openCache(t.Context(), dir, s, known, &images{registry: pictures}, o, edges{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.cache.Evict(t.Context()); err != nil {
		t.Error(err)
	}
	if on, err := c.cache.Offline(t.Context()); !on || err != nil {
		t.Errorf("offline %v, %v", on, err)
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
}

func rootsOf(t *testing.T, dir string, s *storedir.Store) (map[digest.Digest]bool, error) {
	t.Helper()
	shelf, err := server.Open(home.Netcache.In(dir), s, fsx.FS{})
	if err != nil {
		t.Fatal(err)
	}
	_, pictures := openRegistry(t, dir, s)
	return roots(t.Context(), dir, s, shelf, pictures)
}

// openRegistry opens the database and the registry of the site in dir.
func openRegistry(t *testing.T, dir string, s *storedir.Store) (*db.DB, *registry.Registry) {
	t.Helper()
	known, err := openFacts(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = known.Close() })
	r, err := registry.Open(s, known, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return known, r
}

func openDepot(t *testing.T, dir string) *storedir.Store {
	t.Helper()
	s, err := storedir.Open(home.Depot.In(dir), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
