package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/server/node"
	"overland/internal/store"
	"overland/internal/store/dir"
	"overland/internal/testkit/badlink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type metadata map[string]string

func (m metadata) Metadata(_ context.Context, name string, limit int64) ([]byte, error) {
	s, ok := m[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	if s == "broken" {
		return nil, errors.New("the disk at /var/secret is broken")
	}
	return []byte(s), nil
}

func random(size int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, size)
	_, _ = r.Read(b)
	return b
}

func newHandler(t *testing.T, o node.Options, bodies ...[]byte) http.Handler {
	t.Helper()
	s, err := dir.Open(t.TempDir(), dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bodies {
		if _, err := store.PutBytes(t.Context(), s, b); err != nil {
			t.Fatal(err)
		}
	}
	o.Blobs = s
	o.Trust = metadata{"timestamp.json": `{"v":1}`, "3.app%2Fwallet.json": `{"v":3}`, "bad.json": "broken"}
	return node.New(o)
}

func do(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestBlob(t *testing.T) {
	body := random(100_000)
	d := string(digest.Of(body))
	h := newHandler(t, node.Options{}, body)
	for _, c := range []struct {
		method string
		header []string
		status int
		want   []byte
		crange string
	}{
		{"GET", nil, 200, body, ""},
		{"HEAD", nil, 200, nil, ""},
		{"GET", []string{"Range", "bytes=99990-"}, 206, body[99990:], "bytes 99990-99999/100000"},
		{"GET", []string{"Range", "bytes=5-9"}, 206, body[5:10], "bytes 5-9/100000"},
		{"GET", []string{"Range", "bytes=-7"}, 206, body[99993:], "bytes 99993-99999/100000"},
		{"GET", []string{"Range", "bytes=1-2,5-6"}, 200, body, ""},
		{"GET", []string{"Range", "bytes=100000-"}, 416, nil, "bytes */100000"},
		{"GET", []string{"If-None-Match", `"1"`}, 304, nil, ""},
		{"GET", []string{"Range", "bytes=5-9", "If-Range", `"other"`}, 200, body, ""},
	} {
		w := do(h, c.method, "/v1/blobs/"+d, c.header...)
		if w.Code != c.status || w.Header().Get("Content-Range") != c.crange {
			t.Errorf("%s %v: %d %q, want %d %q", c.method, c.header, w.Code, w.Header().Get("Content-Range"), c.status, c.crange)
		}
		if c.status < 300 && !bytes.Equal(w.Body.Bytes(), c.want) {
			t.Errorf("%s %v: other bytes", c.method, c.header)
		}
		if c.status < 300 && (w.Header().Get("ETag") != `"1"` || w.Header().Get("Cache-Control") != "max-age=31536000") {
			t.Errorf("%s %v: headers %v", c.method, c.header, w.Header())
		}
	}
}

func TestTrust(t *testing.T) {
	h := newHandler(t, node.Options{})
	w := do(h, "GET", "/v1/trust/3.app%2Fwallet.json")
	if w.Code != 200 || w.Body.String() != `{"v":3}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = do(h, "GET", "/v1/trust/timestamp.json")
	tag := w.Header().Get("ETag")
	if w.Code != 200 || tag == "" || w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w = do(h, "GET", "/v1/trust/timestamp.json", "If-None-Match", tag); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("unchanged: %d %s", w.Code, w.Body)
	}
}

func TestRefusals(t *testing.T) {
	h := newHandler(t, node.Options{})
	absent := string(digest.Of([]byte("absent")))
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/v1/blobs/" + absent, 404, "notfound"},
		{"GET", "/v1/blobs/sha256:short", 400, "invalid"},
		{"GET", "/v1/blobs/" + strings.ToUpper(absent), 400, "invalid"},
		{"GET", "/v1/blobs/../../etc/passwd", 400, "invalid"},
		{"GET", "/v1/trust/../keys/root.key", 404, "notfound"},
		{"GET", "/v1/trust/..%2Fkeys%2Froot.json", 404, "notfound"},
		{"GET", "/v1/trust/", 404, "notfound"},
		{"GET", "/v1/trust/.hidden.json", 404, "notfound"},
		{"GET", "/v1/trust/root.key", 404, "notfound"},
		{"GET", "/v1/trust/2.root.json", 404, "notfound"},
		{"GET", "/v1/trust/" + strings.Repeat("x", 300) + ".json", 404, "notfound"},
		{"GET", "/v1/" + strings.Repeat("x", 9000), 404, "notfound"},
		{"GET", "//v1/health", 404, "notfound"},
		{"GET", "/v1/health/", 404, "notfound"},
		{"GET", "/v1/health?x", 404, "notfound"},
		{"GET", "/", 404, "notfound"},
		{"POST", "/v1/health", 405, "invalid"},
		{"DELETE", "/v1/blobs/" + absent, 405, "invalid"},
		{"GET", "/v1/trust/bad.json", 500, "internal"},
	} {
		w := do(h, c.method, c.path)
		var p httpx.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Errorf("%s %s: body %q: %v", c.method, c.path, w.Body, err)
		}
		if w.Code != c.status || p.Code != c.code || p.Message == "" {
			t.Errorf("%s %.60s: %d %+v, want %d %s", c.method, c.path, w.Code, p, c.status, c.code)
		}
		if strings.Contains(w.Body.String(), "/var/secret") {
			t.Error("an internal error was told to the client")
		}
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q: an error may be kept", c.path, got)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/health", strings.NewReader("body"))
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 400 {
		t.Errorf("a request with a body: %d", w.Code)
	}
}

func TestTooManyAtOnce(t *testing.T) {
	h := newHandler(t, node.Options{Requests: 1, Wait: 1})
	end := node.Occupy(h)
	w := do(h, "GET", "/v1/health")
	if w.Code != errs.Unavailable.Status() || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v, want 503 and when to come back", w.Code, w.Header())
	}
	end()
	if w := do(h, "GET", "/v1/health"); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

// serveSlowly asks for a blob over a link in memory, inside a synctest bubble.
func serveSlowly(t *testing.T, f badlink.Faults, body []byte) ([]byte, error) {
	server, client := badlink.NewMemory(), badlink.NewMemory()
	srv := &http.Server{Handler: newHandler(t, node.Options{Stall: time.Minute}, body)}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(server) }()
	link := badlink.Serve(client, server.Dial, f)
	defer func() { link.Close(); srv.Close(); <-done }()
	conn, err := client.Dial(t.Context())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /v1/blobs/%s HTTP/1.0\r\n\r\n", digest.Of(body)); err != nil {
		return nil, err
	}
	all, err := io.ReadAll(conn)
	_, got, _ := bytes.Cut(all, []byte("\r\n\r\n"))
	return got, err
}

func TestASlowClientIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := random(1 << 20) // more than four minutes at 4 KB/s
		got, err := serveSlowly(t, badlink.Faults{Rate: 4096}, body)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d of %d bytes, %v", len(got), len(body), err)
		}
	})
}

func TestAClientThatTakesNothingIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := random(1 << 20)
		h := newHandler(t, node.Options{Stall: time.Minute}, body)
		server := badlink.NewMemory()
		srv := &http.Server{Handler: h}
		done := make(chan struct{})
		go func() { defer close(done); _ = srv.Serve(server) }()
		defer func() { srv.Close(); <-done }()
		conn, err := server.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET /v1/blobs/%s HTTP/1.1\r\nHost: x\r\n\r\n", digest.Of(body)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if node.Served(h) != 1 {
			t.Fatal("not being served")
		}
		time.Sleep(2 * time.Minute) // fake time
		synctest.Wait()
		if node.Served(h) != 0 {
			t.Error("a client that takes nothing still holds a slot after two minutes")
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/v1/health", "/v1/blobs/" + string(digest.Of(nil)), "/v1/trust/3.app%2Fwallet.json", "/v1/trust/../x.json", "/v1/trust/%2e%2e.json"} {
		f.Add(s, "bytes=0-")
	}
	s, err := dir.Open(f.TempDir(), dir.Options{})
	if err != nil {
		f.Fatal(err)
	}
	asked := ""
	h := node.New(node.Options{Blobs: s, Trust: spy{&asked}})
	f.Fuzz(func(t *testing.T, path, rng string) {
		r, err := http.NewRequest(http.MethodGet, "http://x"+path, nil)
		if err != nil {
			return
		}
		r.Header.Set("Range", rng)
		asked = ""
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if strings.ContainsAny(asked, "/\\\x00") || strings.HasPrefix(asked, ".") {
			t.Errorf("%q asked for the metadata file %q", path, asked)
		}
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%q: %d", path, w.Code)
		}
	})
}

type spy struct{ name *string }

func (s spy) Metadata(_ context.Context, name string, _ int64) ([]byte, error) {
	*s.name = name
	return nil, fs.ErrNotExist
}
