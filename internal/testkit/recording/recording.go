package recording

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
	"overland/internal/store/dir"
)

// Origin is an origin, and whoever sits between it and us. It ends with the test.
type Origin struct {
	*httptest.Server

	mu     sync.Mutex
	honest http.Handler
	asked  []string
	other  map[string]http.HandlerFunc // what is answered in the origin's place, by path
}

// NewOrigin starts one that answers as honest does.
func NewOrigin(t testing.TB, honest http.Handler) *Origin {
	o := &Origin{honest: honest, other: map[string]http.HandlerFunc{}}
	o.Server = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(o.Close)
	return o
}

func (o *Origin) serve(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.asked = append(o.asked, r.URL.Path)
	h := http.Handler(o.other[r.URL.Path])
	if o.other[r.URL.Path] == nil {
		h = o.honest
	}
	o.mu.Unlock()
	h.ServeHTTP(w, r)
}

// Answer lets h answer for path in the origin's place.
func (o *Origin) Answer(path string, h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.other[path] = h
}

// Become lets the origin answer as honest does from now on.
func (o *Origin) Become(honest http.Handler) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.honest = honest
}

// Asked returns the paths that were asked for.
func (o *Origin) Asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.asked)
}

// Text answers with body.
func Text(media, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		_, _ = io.WriteString(w, body)
	}
}

// Store returns an empty depot.
func Store(t testing.TB) *dir.Store {
	t.Helper()
	s, err := dir.Open(t.TempDir(), dir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Blobs returns how many blobs s holds once r has stored what it fetched.
func Blobs(t testing.TB, r *record.Recorder, s *dir.Store) int {
	t.Helper()
	if err := r.Settle(); err != nil {
		t.Fatal(err)
	}
	found, err := os.ReadDir(filepath.Join(s.Dir(), store.BlobFolder))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// Recorder returns one that keeps bytes in s, gives up at once, and ends with the test. locked is
// what is locked already; nil = nothing.
func Recorder(t testing.TB, s *dir.Store, locked *lockfile.Lock) *record.Recorder {
	return start(t, s, record.Options{Lock: locked})
}

// Updating is Recorder of a recording that will take the place of the lock seen.
func Updating(t testing.TB, s *dir.Store, seen *lockfile.Lock) *record.Recorder {
	return start(t, s, record.Options{Seen: seen})
}

func start(t testing.TB, s *dir.Store, o record.Options) *record.Recorder {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	o.Upstream = &origin.Client{Transport: transport, Tries: 1, Wait: time.Millisecond}
	r := record.NewRecorder(s, o)
	t.Cleanup(func() {
		r.Close()
		transport.CloseIdleConnections()
	})
	return r
}

// Fetch asks for path below p's mount and returns what is served.
func Fetch(t testing.TB, k record.Getter, p record.Protocol, path, accept string) (lockfile.Entry, string, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://recorder"+path, nil)
	r.Header.Set("Accept", accept)
	it, err := p.Item(r)
	if err != nil {
		return lockfile.Entry{}, "", err
	}
	e, blob, err := k.Get(t.Context(), p, it)
	if err != nil || blob == nil {
		return e, "", err
	}
	defer blob.Close()
	body, _, err := p.Serve(it, e, blob, "http://recorder/"+p.Name())
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return e, string(b), nil
}
