package netcache_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/netcache/server"
)

// raw sends bytes on a socket of its own, like Python's http.client does, and returns everything
// that comes back until the server closes.
func raw(t *testing.T, base, request string) string {
	t.Helper()
	c := dial(t, base)
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c) // the server closes by itself, or this fails at the deadline
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func dial(t *testing.T, base string) net.Conn {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

const head = " HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\nConnection: close\r\n"

// What the Python client does on the wire: one connection for each request, "Connection: close",
// which the answer must carry too, keys as they are.
func TestOldClientOnTheWire(t *testing.T) {
	base, _ := serve(t, lab)
	data := "some bytes"
	name := nameOf([]byte(data))
	got := raw(t, base, fmt.Sprintf("POST /shacache%sContent-Length: %d\r\nContent-Type: application/octet-stream\r\n\r\n%s", head, len(data), data))
	if !strings.HasPrefix(got, "HTTP/1.1 201 ") || !strings.Contains(got, "\r\nConnection: close\r\n") || !strings.HasSuffix(got, "\r\n\r\n"+name) {
		t.Errorf("POST: %q", got)
	}
	b := body(metadata("x"), "")
	for _, key := range []string{"a:b=c+d~e,f@g", "a/../k", "../k", "é"} {
		got = raw(t, base, fmt.Sprintf("PUT /shadir/%s%sContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%s", key, head, len(b), b))
		if !strings.HasPrefix(got, "HTTP/1.1 201 ") || !strings.Contains(got, "\r\nConnection: close\r\n") {
			t.Errorf("PUT %s: %q", key, got)
		}
		got = raw(t, base, "GET /shadir/"+key+head+"\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, "\r\nConnection: close\r\n") || !strings.HasSuffix(got, "\r\n\r\n["+string(b)+"]") {
			t.Errorf("GET %s: %q", key, got)
		}
	}
	got = raw(t, base, "GET /shacache/"+name+head+"Range: bytes=5-\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 206 ") || !strings.HasSuffix(got, "\r\n\r\nbytes") || !strings.Contains(got, "Content-Range: bytes 5-9/10\r\n") {
		t.Errorf("range: %q", got)
	}
	if got = raw(t, base, "GET /shacache/"+name+" HTTP/1.0\r\n\r\n"); !strings.HasSuffix(got, "\r\n\r\n"+data) {
		t.Errorf("HTTP/1.0: %q", got)
	}
}

// A large body that is refused is read, so that the client that sends all of it first sees why.
func TestRefusalIsSeen(t *testing.T) {
	base, s := serve(t, options{})
	const size = 8 << 20
	got := raw(t, base, fmt.Sprintf("POST /shacache%sContent-Length: %d\r\n\r\n%s", head, size, strings.Repeat("x", size)))
	if !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Errorf("%.100q", got)
	}
	// Also when the body is larger than what the kernels hold, and the client sends all of it first.
	const large = 200 << 20
	c := dial(t, base)
	if _, err := fmt.Fprintf(c, "POST /shacache%sContent-Length: %d\r\n\r\n", head, large); err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 1<<20)
	for n := range large / len(piece) {
		if _, err := c.Write(piece); err != nil {
			t.Fatalf("a broken pipe in place of the answer, after %d MiB: %v", n, err)
		}
	}
	answer := make([]byte, 13)
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "HTTP/1.1 403 " {
		t.Errorf("%q, %v", answer, err)
	}
	clean(t, s)
}

func TestTooLargeIsRefused(t *testing.T) {
	base, s := serve(t, options{Policy: lab.Policy, MaxBlob: 1000})
	if a := do(t, nil, "POST", base+"/shacache", strings.NewReader(strings.Repeat("x", 1001))); a.status != 413 {
		t.Errorf("%d %s", a.status, a.body)
	}
	// Chunked: the length is not known before.
	if a := do(t, nil, "POST", base+"/shacache", io.MultiReader(strings.NewReader(strings.Repeat("x", 1001)))); a.status != 413 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, nil, "POST", base+"/shacache", io.MultiReader(strings.NewReader(strings.Repeat("x", 1000)))); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
	clean(t, s)
}

// An upload that breaks off half-way leaves nothing: no blob, no name, no temporary file.
func TestBrokenUploadLeavesNothing(t *testing.T) {
	s := shelf(t)
	mounted, ended := start(s, lab).Mount("/shacache", "", nil), make(chan struct{}, 3)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mounted.ServeHTTP(w, r)
		ended <- struct{}{}
	}))
	defer srv.Close()
	base := srv.URL
	const size = 64 << 20
	half := make([]byte, size/2)
	if _, err := rand.Read(half); err != nil {
		t.Fatal(err)
	}
	for name, last := range map[string]func(net.Conn) error{
		"reset": func(c net.Conn) error { return c.(*net.TCPConn).SetLinger(0) },
		"fin":   func(net.Conn) error { return nil },
	} {
		c := dial(t, base)
		if _, err := fmt.Fprintf(c, "POST /shacache%sContent-Length: %d\r\n\r\n%s", head, size, half); err != nil {
			t.Fatal(err)
		}
		if err := last(c); err != nil {
			t.Fatal(err)
		}
		if name == "fin" { // half-closed: the refusal can be read
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 400 ") {
				t.Errorf("%.50q, %v", b, err)
			}
		}
		c.Close()
		<-ended
	}
	clean(t, s)
	if a := do(t, nil, "POST", base+"/shacache", bytes.NewReader(half)); a.status != 201 {
		t.Errorf("the next upload: %d", a.status)
	}
}

// A client that goes away after the head of the answer is no error and costs nobody else anything.
func TestReaderGoesAway(t *testing.T) {
	base, _ := serve(t, lab)
	data := bytes.Repeat([]byte("x"), 32<<20)
	name := do(t, nil, "POST", base+"/shacache", bytes.NewReader(data)).body
	for range 20 {
		c := dial(t, base)
		if _, err := io.WriteString(c, "GET /shacache/"+name+head+"\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 15)); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if a := do(t, nil, "GET", base+"/shacache/"+name, nil); a.body != string(data) {
		t.Errorf("%d, %d bytes", a.status, len(a.body))
	}
}

// clean fails the test when a shelf and its depot hold a file that is not whole or not named.
func clean(t *testing.T, s *server.Shelf) {
	t.Helper()
	err := filepath.WalkDir(filepath.Dir(s.Dir()), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.Contains(path, ".tmp-") || strings.Contains(path, "/ingest/") && !strings.HasSuffix(path, ".lock")) {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
