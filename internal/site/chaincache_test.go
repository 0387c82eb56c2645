package site

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/ecosystem/cargo"
	"overland/internal/ecosystem/golang"
	"overland/internal/ecosystem/npm"
	"overland/internal/ecosystem/pypi"
	"overland/internal/mirror"
	"overland/internal/record"
	"overland/internal/testkit/badlink"
)

// modProxy is a Go module proxy that counts what it is asked for.
type modProxy struct {
	*httptest.Server
	mu    sync.Mutex
	mods  map[string]string // by path
	asked int
}

func newProxy(t *testing.T) *modProxy {
	p := &modProxy{mods: map[string]string{"/example.org/x/@v/v1.0.0.mod": "module example.org/x\n", "/example.org/x/@v/list": "v1.0.0\n"}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked++
		mod, ok := p.mods[r.URL.Path]
		p.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(mod)))
		io.WriteString(w, mod)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *modProxy) requests() int { p.mu.Lock(); defer p.mu.Unlock(); return p.asked }

// caching runs a site with a cache in dir and returns its URL for sites, its
// address for tools, and what ends it.
func caching(t *testing.T, dir, origin string, o Options, e ...edges) (url, face string, stop func()) {
	t.Helper()
	addr := make(chan string, 1)
	o.Cache.Listen, o.Cache.Ready = "127.0.0.1:0", func(a string) { addr <- a }
	if o.Cache.Upstreams == nil {
		o.Cache.Upstreams = map[string][]string{}
	}
	o.Cache.Upstreams["go"] = []string{origin}
	url, stop = start(t, dir, o, e...)
	return url, <-addr, stop
}

const (
	modPath  = "/go/example.org/x/@v/v1.0.0.mod"
	listPath = "/go/example.org/x/@v/list"
)

// The cache of a near site asks the cache of the far one, once, and
// the origin only when that fails.
func TestCachesInARow(t *testing.T) {
	t.Setenv("GOSUMDB", "off")
	o := newProxy(t)
	far, _, stopFar := caching(t, t.TempDir(), o.URL, Options{})
	dir := t.TempDir()
	unused := newProxy(t)
	_, near, stopNear := caching(t, dir, unused.URL, Options{Upstreams: []string{far}})
	for range 2 {
		if status, body := get(t, near, modPath); status != 200 || body != "module example.org/x\n" {
			t.Errorf("got %d %q", status, body)
		}
		if status, body := get(t, near, listPath); status != 200 || body != "v1.0.0\n" {
			t.Errorf("got %d %q", status, body)
		}
	}
	if a, b := o.requests(), unused.requests(); a != 2 || b != 0 {
		t.Errorf("the far site's origin was asked %d times, the near one's %d", a, b)
	}
	if n := blobs(t, dir); n != 2 {
		t.Errorf("%d blobs in the near depot", n)
	}
	if status, _ := get(t, near, "/go/example.org/y/@v/v1.0.0.mod"); status != 404 || unused.requests() != 1 {
		t.Errorf("what the far site has not: %d, the near one's origin was asked %d times", status, unused.requests())
	}
	stopFar()
	stopNear()
	_, near, _ = caching(t, dir, unused.URL, Options{Upstreams: []string{far}})
	if status, body := get(t, near, modPath); status != 200 || body != "module example.org/x\n" {
		t.Errorf("with the far site dead: %d %q", status, body)
	}
	unused.mu.Lock()
	unused.mods["/example.org/z/@v/v1.0.0.mod"] = "module example.org/z\n"
	unused.mu.Unlock()
	if status, body := get(t, near, "/go/example.org/z/@v/v1.0.0.mod"); status != 200 {
		t.Errorf("with the far site dead, from the origin: %d %q", status, body)
	}
}

// A blob that a cache holds and a node asks for is one blob: it is fetched once.
func TestNodesAndCachesShare(t *testing.T) {
	t.Setenv("GOSUMDB", "off")
	o := newProxy(t)
	far, farFace, _ := caching(t, t.TempDir(), o.URL, Options{})
	if status, _ := get(t, farFace, modPath); status != 200 {
		t.Fatal(status)
	}
	link := linkTo(t, badlink.To(strings.TrimPrefix(strings.Split(far, "#")[0], "https://")), badlink.Faults{})
	_, pin, _ := strings.Cut(far, "#")
	dir := t.TempDir()
	near, face, _ := caching(t, dir, o.URL, Options{Upstreams: []string{"https://" + link.Addr() + "#" + pin}})
	if err := fetched(t, blobOf([]byte("module example.org/x\n")), 0, near); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(t, face, modPath); status != 200 {
		t.Error(status)
	}
	if n := blobs(t, dir); n != 1 || o.requests() != 1 {
		t.Errorf("%d blobs, the origin was asked %d times", n, o.requests())
	}
}

// A tool waits for a near cache whose far cache waits for a slow origin.
func TestACacheFarAwayIsSlow(t *testing.T) {
	t.Setenv("GOSUMDB", "off")
	o := newProxy(t)
	big := "module example.org/x\n" + strings.Repeat("// \n", 16<<10)
	o.mods["/example.org/x/@v/v1.0.0.mod"] = big
	link := linkTo(t, badlink.To(strings.TrimPrefix(o.URL, "http://")), badlink.Faults{Rate: 4096})
	far, _, _ := caching(t, t.TempDir(), "http://"+link.Addr(), Options{})
	_, near, _ := caching(t, t.TempDir(), "http://127.0.0.1:1", Options{Upstreams: []string{far}}, edges{mirror: mirror.Options{Stall: 6 * time.Second}})
	if status, body := get(t, near, modPath); status != 200 || body != big {
		t.Errorf("got %d, %d bytes of %d", status, len(body), len(big))
	}
	if n := o.requests(); n != 1 {
		t.Errorf("%d requests at the origin: somebody gave up", n)
	}
}

// Caches that point at each other, as upstream sites or by
// --cache-upstream, say soon that nobody has it.
func TestCachesInARing(t *testing.T) {
	t.Setenv("GOSUMDB", "off")
	t.Run("sites", func(t *testing.T) {
		dirs := []string{t.TempDir(), t.TempDir()}
		var faces [2]string
		ringOf(t, dirs, func(i int, next string) string {
			url, face, _ := caching(t, dirs[i], "http://127.0.0.1:1", Options{Upstreams: []string{next}})
			faces[i] = face
			return url
		})
		began := time.Now()
		for _, f := range faces {
			if status, body := get(t, f, modPath); status == 200 {
				t.Errorf("got %d %q", status, body)
			}
		}
		if took := time.Since(began); took > 20*time.Second { // two dead origins, each asked four times
			t.Errorf("it took %v", took)
		}
	})
	t.Run("by name", func(t *testing.T) {
		var addr atomic.Value
		link := linkTo(t, func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr.Load().(string))
		}, badlink.Faults{})
		_, other, _ := caching(t, t.TempDir(), "http://"+link.Addr()+"/go", Options{})
		_, one, _ := caching(t, t.TempDir(), "http://"+other+"/go", Options{})
		addr.Store(one)
		began := time.Now()
		if status, body := get(t, other, modPath); status != 404 {
			t.Errorf("got %d %q", status, body)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// The network cache of a near site has what that of the far one has,
// as an upstream site or by name.
func TestNetworkCachesInARow(t *testing.T) {
	t.Setenv("GOSUMDB", "off")
	far, farFace, stopFar := caching(t, t.TempDir(), "http://127.0.0.1:1", Options{Cache: CacheOptions{Writes: true}})
	status, name := post(t, "http://"+farFace+"/shacache", "egg")
	if status != 201 {
		t.Fatal(status, name)
	}
	entry := `["{\"sha512\":\"` + name + `\"}",""]`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+farFace+"/shadir/pypi:egg=1", strings.NewReader(entry))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatal(res, err)
	}
	res.Body.Close()
	dir := t.TempDir()
	_, chained, _ := caching(t, dir, "http://127.0.0.1:1", Options{Upstreams: []string{far}})
	_, named, _ := caching(t, t.TempDir(), "http://127.0.0.1:1", Options{Cache: CacheOptions{Upstreams: map[string][]string{
		"shacache": {"http://" + farFace + "/shacache"}, "shadir": {"http://" + farFace + "/shadir/"},
	}}})
	for n := range 2 {
		for _, face := range []string{chained, named} {
			if status, body := get(t, face, "/shacache/"+name); status != 200 || body != "egg" {
				t.Errorf("got %d %q", status, body)
			}
			if status, body := get(t, face, "/shadir/pypi:egg=1"); status != 200 || body != "["+entry+"]" {
				t.Errorf("got %d %s", status, body)
			}
		}
		if n == 0 {
			stopFar()
		}
	}
	keep, err := rootsOf(t, dir, openDepot(t, dir))
	if err != nil || keep[digest.Of([]byte("egg"))] {
		t.Errorf("what can be fetched again is kept for ever: %v, %v", keep, err)
	}
}

// What another site is asked for by its key is what a tool asked for.
func TestKeysComeBack(t *testing.T) {
	g, err := golang.New(golang.Env{GOPROXY: "http://127.0.0.1:1", GOSUMDB: "off"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := npm.New(npm.Config{Registry: "http://127.0.0.1:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pypi.New(pypi.Config{Index: "http://127.0.0.1:1/simple/"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cargo.New("http://127.0.0.1:1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		p            record.Protocol
		path, accept string
	}{
		{g, "/golang.org/x/text/@v/v0.3.0.zip", ""},
		{g, "/github.com/!burnt!sushi/toml/@latest", ""},
		{n, "/@scope/tea", ""},
		{n, "/@scope/tea", "application/vnd.npm.install-v1+json"},
		{n, "/tea/-/tea-1.0.0.tgz", ""},
		{n, "/tea/1.0.0", ""},
		{c, "/te/a-/tea-pot", ""},
		{c, "/crates/tea-pot/tea-pot-1.0.0.crate", ""},
		{c, "/config.json", ""},
		{p, "/simple/tea/", ""},
		{p, "/simple/tea/", "application/vnd.pypi.simple.v1+json"},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://x"+c.path, nil)
		r.Header.Set("Accept", c.accept)
		want, err := c.p.Item(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := record.ItemOf(c.p, want.Key)
		if err != nil || got.Key != want.Key || got.Mutable != want.Mutable || got.Header.Get("Accept") != want.Header.Get("Accept") || got.HTML != want.HTML {
			t.Errorf("%s: got %+v, %v; want %+v", want.Key, got, err, want)
		}
	}
	if it, err := record.ItemOf(g, "../x"); err == nil {
		t.Errorf("got %+v", it)
	}
}
