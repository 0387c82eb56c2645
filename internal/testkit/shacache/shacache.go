package shacache

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"overland/internal/clock"
	"overland/internal/fsx"
	"overland/internal/netcache"
	"overland/internal/netcache/server"
	face "overland/internal/server/netcache"
	"overland/internal/store/dir"
)

// Cache is a running network cache that everybody may write to. It ends with the test.
type Cache struct {
	T     testing.TB
	Dir   string
	URL   string // without the last "/"
	Shelf *server.Shelf

	answer atomic.Value // func(http.ResponseWriter, *http.Request) bool
}

// New starts a network cache.
func New(t testing.TB) *Cache {
	t.Helper()
	c := &Cache{T: t, Dir: t.TempDir()}
	depot, err := dir.Open(filepath.Join(c.Dir, "depot"), dir.Options{Reserve: -1})
	c.must(err)
	c.Shelf, err = server.Open(filepath.Join(c.Dir, "netcache"), depot, fsx.FS{})
	c.must(err)
	h := Handler(c.Shelf)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, _ := c.answer.Load().(func(http.ResponseWriter, *http.Request) bool); answer != nil && answer(w, r) {
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	c.URL = srv.URL
	return c
}

// Handler serves shelf below /shacache and /shadir; everybody may write.
func Handler(shelf *server.Shelf) http.Handler {
	s := server.New(shelf, server.Options{Policy: server.Always(server.Policy{Open: true})})
	return face.New(s, face.Options{}).Mount("/shacache", "/shadir", nil)
}

func (c *Cache) must(err error) {
	c.T.Helper()
	if err != nil {
		c.T.Fatal(err)
	}
}

// Mischief lets answer reply in place of the server, until it returns false.
func (c *Cache) Mischief(answer func(http.ResponseWriter, *http.Request) bool) {
	c.answer.Store(answer)
}

// Keys are the signing keys of a machine: private key files and what others must know.
type Keys struct {
	RSA, Certificate, Ed25519 string // files
	List, Public              string // PEM: for signature-certificate-list, overland-key-list
}

// Keys makes the keys of a machine.
func (c *Cache) Keys(name string) Keys {
	c.T.Helper()
	k := Keys{
		RSA: filepath.Join(c.Dir, name+".rsa"), Certificate: filepath.Join(c.Dir, name+".cert"),
		Ed25519: filepath.Join(c.Dir, name+".ed25519"),
	}
	list, err := netcache.Generate(fsx.FS{}, k.RSA, k.Certificate, name, clock.Clock(nil).Or()())
	c.must(err)
	public, err := netcache.GenerateEd25519(fsx.FS{}, k.Ed25519, "")
	c.must(err)
	k.List, k.Public = string(list), string(public)
	return k
}

// Config returns a section [networkcache] for a machine that signs with own, zero for one that does
// not, and believes what trusted signed. More lines may be added at its end.
func (c *Cache) Config(own Keys, trusted ...Keys) string {
	var list, public strings.Builder
	for _, k := range trusted {
		list.WriteString(indent(k.List))
		public.WriteString(indent(k.Public))
	}
	return fmt.Sprintf(`[networkcache]
download-cache-url = %[1]s/shacache
upload-cache-url = %[1]s/shacache
upload-binary-cache-url = %[1]s/shacache
signature-certificate-list =%[2]s
overland-key-list =%[3]s
`, c.URL, list.String(), public.String()) + own.lines()
}

func (k Keys) lines() (s string) {
	for name, file := range map[string]string{
		"signature-private-key-file": k.RSA, "signature-certificate-file": k.Certificate, "overland-private-key-file": k.Ed25519,
	} {
		if file != "" {
			s += name + " = " + file + "\n"
		}
	}
	return s
}

func indent(pem string) string { return strings.ReplaceAll("\n"+strings.TrimSpace(pem), "\n", "\n  ") }
