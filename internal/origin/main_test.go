package origin_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var content = bytes.Repeat([]byte("0123456789abcdef"), 4096)

// want is a request for path of the server at base.
func want(base, path string) origin.Request {
	return origin.Request{URL: base + "/" + path, Limit: 1 << 20}
}

// server has one behaviour for each path, and a count of what it was asked.
type server struct {
	*httptest.Server
	asked atomic.Int64
}

func newServer(t *testing.T, h http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// quick is a Client that does not wait long.
func quick(t *testing.T) *origin.Client {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &origin.Client{Transport: tr, Wait: time.Millisecond, Stall: 5 * time.Second, Dir: t.TempDir()}
}
