package netcache_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/clock"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/netcache"
	"overland/internal/netcache/server"
	face "overland/internal/server/netcache"
	storedir "overland/internal/store/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	maxBlob   = 16 << 30
	mostCalls = 128 // that are fetched from upstream at once
)

// options are those of a network cache and of its face.
type options struct {
	Policy  server.Policy
	Through *server.Through
	MaxBlob int64
	Stall   time.Duration
	Log     *slog.Logger
	Clock   clock.Clock
}

var lab = options{Policy: server.Policy{Open: true}}

// site is a network cache with its face.
type site struct {
	*server.Server
	*face.Face
	shelf *server.Shelf
	stall time.Duration
}

// Mount mounts the face behind the limit of bodies, as a site does.
func (s site) Mount(cache, dir string, next http.Handler) http.Handler {
	return httpx.Bodies(s.Face.Mount(cache, dir, next), s.stall)
}

func start(s *server.Shelf, o options) site {
	n := server.New(s, server.Options{Policy: server.Always(o.Policy), Through: o.Through, MaxBlob: o.MaxBlob, Log: o.Log, Clock: o.Clock})
	return site{n, face.New(n, face.Options{Log: o.Log}), s, cmp.Or(o.Stall, 30*time.Second)}
}

func openIn(dir string, disk fsx.FS) (*server.Shelf, error) {
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{FS: disk, Reserve: -1})
	if err != nil {
		return nil, err
	}
	return server.Open(filepath.Join(dir, "netcache"), depot, disk)
}

func shelf(t *testing.T) *server.Shelf {
	t.Helper()
	s, err := openIn(t.TempDir(), fsx.FS{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// depotOf returns the depot of s.
func depotOf(t *testing.T, s *server.Shelf) *storedir.Store {
	t.Helper()
	depot, err := storedir.Open(filepath.Join(filepath.Dir(s.Dir()), "depot"), storedir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	return depot
}

// notes returns the notes of the entries of key, newest first.
func notes(t testing.TB, s *server.Shelf, key string) string {
	t.Helper()
	list, err := s.List(key)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range list {
		e, err := netcache.NewEntry(r.Metadata, r.Signature)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Text("note"))
	}
	return strings.Join(all, " ")
}

// nameOf returns the sha512 of b in hex.
func nameOf(b []byte) string {
	sum := sha512.Sum512(b)
	return hex.EncodeToString(sum[:])
}

func metadata(note string) string {
	b, err := json.Marshal(map[string]string{"sha512": nameOf([]byte(note)), "note": note})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func recordOf(key, note string) server.Record {
	return server.Record{Key: key, Metadata: metadata(note)}
}

func body(meta, sig string) []byte {
	return netcache.EncodeEntry(netcache.Entry{Metadata: meta, Signature: sig})
}

// serve serves a new shelf at /shacache and /shadir.
func serve(t *testing.T, o options) (base string, s *server.Shelf) {
	t.Helper()
	s = shelf(t)
	srv := httptest.NewServer(start(s, o).Mount("/shacache", "/shadir", nil))
	t.Cleanup(srv.Close)
	return srv.URL, s
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends one request, the path as it is written, on a connection of its own.
func do(t *testing.T, c *http.Client, method, url string, body io.Reader, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if c == nil {
		c = &http.Client{}
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// certificate returns a self-signed certificate of a new key.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func rsaKey(t *testing.T) (*rsa.PrivateKey, netcache.Key) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	k, err := netcache.NewKey(private.Public(), "t")
	if err != nil {
		t.Fatal(err)
	}
	return private, k
}
