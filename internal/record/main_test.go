package record_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files is a protocol without rules: what is asked for is a file of an origin. Content that
// starts with "bad" fails its proof.
type files struct{ origin string }

func (files) Name() string { return "files" }

func (f files) Item(r *http.Request) (record.Item, error) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	if key == "" {
		return record.Item{}, errs.Errorf(errs.Invalid, "no name")
	}
	return f.item(key), nil
}

func (f files) item(key string) record.Item {
	return record.Item{Protocol: "files", Key: key, Upstream: f.origin + "/" + key, Limit: 1 << 20}
}

func (f files) ItemOf(key string) (record.Item, error) { return f.item(key), nil }

func (files) Check(_ context.Context, _ record.Item, body io.ReadSeeker, _ record.Lookup) (lockfile.Proof, error) {
	head := make([]byte, 3)
	if _, err := io.ReadFull(body, head); err == nil && string(head) == "bad" {
		return lockfile.Proof{}, errs.Errorf(errs.Untrusted, "bad content")
	}
	return lockfile.Proof{Kind: "files", Value: "fine"}, nil
}

func (files) Serve(_ record.Item, e lockfile.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	return body, e.MediaType, nil
}

// server is an origin with one behaviour for each path, and a count of what it was asked.
type server struct {
	*httptest.Server
	asked atomic.Int64
}

func newOrigin(t *testing.T, h http.HandlerFunc) *server {
	t.Helper()
	o := &server{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.asked.Add(1)
		h(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

// quick is an Upstream that does not wait long.
func quick(t *testing.T) *origin.Client {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &origin.Client{Transport: tr, Wait: time.Millisecond, Stall: 5 * time.Second, Dir: t.TempDir()}
}

func newStore(t *testing.T) *dir.Store {
	t.Helper()
	s, err := dir.Open(t.TempDir(), dir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// blobs returns how many blobs s has.
func blobs(t *testing.T, s *dir.Store) int {
	t.Helper()
	list, err := os.ReadDir(s.Dir() + "/blobs/sha256")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

var content = bytes.Repeat([]byte("0123456789abcdef"), 4096)

// misbehave answers as its path says.
func misbehave(w http.ResponseWriter, r *http.Request) {
	switch strings.TrimPrefix(r.URL.Path, "/") {
	case "fine":
		_, _ = w.Write(content)
	case "html":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<p>please log in")
	case "denied":
		w.WriteHeader(http.StatusForbidden)
	case "who":
		w.WriteHeader(http.StatusUnauthorized)
	case "gone":
		w.WriteHeader(http.StatusGone)
	default:
		http.NotFound(w, r)
	}
}
