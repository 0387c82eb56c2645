package netcache_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/fsx"
	"overland/internal/testkit/crash"
)

// On a real disk that is full, an upload and an entry are refused with 503, what was there
// stays, and with room both go on.
func TestARealDiskIsFull(t *testing.T) {
	const mib = 1 << 20
	disk, resize := crash.SmallDisk(t, 4*mib)
	s, err := openIn(disk, fsx.FS{})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(start(s, lab).Mount("/shacache", "/shadir", nil))
	defer srv.Close()
	small, large := bytes.Repeat([]byte("s"), mib), bytes.Repeat([]byte("l"), 6*mib)
	put := func(method, path string, body []byte, want int) {
		t.Helper()
		if a := do(t, nil, method, srv.URL+path, bytes.NewReader(body)); a.status != want {
			t.Errorf("%s %.20s: %d %s, want %d", method, path, a.status, a.body, want)
		}
	}
	entry := func(note string) []byte { return body(metadata(note), "") }
	put(http.MethodPost, "/shacache", small, http.StatusCreated)
	put(http.MethodPut, "/shadir/k", entry("one"), http.StatusCreated)
	put(http.MethodPost, "/shacache", large, http.StatusServiceUnavailable)
	clean(t, s)

	fill := filepath.Join(disk, "fill")
	if err := os.WriteFile(fill, make([]byte, 4*mib), 0o600); !fsx.IsFull(err) {
		t.Fatalf("the disk is not full: %v", err)
	}
	put(http.MethodPut, "/shadir/k", entry(strings.Repeat("two", 10_000)), http.StatusServiceUnavailable)
	put(http.MethodPut, "/shadir/other", entry(strings.Repeat("two", 10_000)), http.StatusServiceUnavailable)
	if got := notes(t, s, "k"); got != "one" {
		t.Errorf("entries: %.20s", got)
	}
	if a := do(t, nil, http.MethodGet, srv.URL+"/shacache/"+nameOf(small), nil); a.body != string(small) {
		t.Errorf("%d, %d bytes", a.status, len(a.body))
	}
	resize(32 * mib)
	put(http.MethodPut, "/shadir/k", entry("two"), http.StatusCreated)
	put(http.MethodPost, "/shacache", large, http.StatusCreated)
	if got := notes(t, s, "k"); got != "two one" {
		t.Errorf("entries: %.20s", got)
	}
	clean(t, s)
}
