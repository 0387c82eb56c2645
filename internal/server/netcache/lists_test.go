package netcache

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/fsx"
	"overland/internal/netcache/server"
	storedir "overland/internal/store/dir"
)

// Only so many lists, which may have MiB each, are in memory at once, whoever asks for them; it is another one's turn when
// one has gone.
func TestListsInMemoryAreBounded(t *testing.T) {
	dir := t.TempDir()
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	shelf, err := server.Open(filepath.Join(dir, "netcache"), depot, fsx.FS{})
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(shelf, server.Options{Policy: server.Always(server.Policy{Open: true})})
	t.Cleanup(s.Close)
	f := New(s, Options{})
	h := f.Mount("", "/dir", nil)
	do := func(ctx context.Context, method string) int {
		body := `["{\"sha512\":\"` + strings.Repeat("a", 128) + `\"}",""]`
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, "/dir/k", strings.NewReader(body)))
		return w.Code
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		method string
		want   int
	}{{http.MethodPut, http.StatusCreated}, {http.MethodGet, http.StatusOK}} {
		if got := do(t.Context(), c.method); got != c.want {
			t.Fatalf("%s: %d", c.method, got)
		}
		var ends []func()
		for range lists {
			end, err := f.place(httptest.NewRequest(c.method, "/dir/k", nil))
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, end)
		}
		if got := do(impatient, c.method); got < http.StatusBadRequest {
			t.Errorf("%s beside %d: %d", c.method, lists, got)
		}
		ends[0]()
		if got := do(t.Context(), c.method); got != c.want {
			t.Errorf("%s when one has gone: %d", c.method, got)
		}
		for _, end := range ends[1:] {
			end()
		}
	}
}
