package fetch_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/fetch"
)

// When a connection to a near site goes silent, only the request on it waits. Over HTTP/2, which the site may offer, all
// requests would share the one dead connection.
func TestASilentConnectionToASiteIsItsRequestsAlone(t *testing.T) {
	body := random(1, mib)
	var silent, others atomic.Int32
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/blobs/", func(w http.ResponseWriter, r *http.Request) {
		if silent.Add(1) > 1 {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
			return
		}
		w.Header().Set("Content-Length", "1048576")
		_, _ = w.Write(body[:mib/2])
		w.(http.Flusher).Flush()
		<-release
	})
	mux.HandleFunc("/v1/health", func(_ http.ResponseWriter, r *http.Request) {
		others.Add(1)
		if r.ProtoMajor != 1 {
			t.Errorf("asked over %s: one connection for everything", r.Proto)
		}
	})
	srv := httptest.NewUnstartedServer(mux)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	defer close(release)
	url := srv.URL + "#" + fetch.PinOf(srv.Certificate()).String()
	near, other := site(t, url, fetch.SiteOptions{Stall: 2 * time.Second}), site(t, url, fetch.SiteOptions{})
	if near.Transport() == other.Transport() {
		t.Error("two clients have one set of connections")
	}
	s, o := newStore(t), quick(near)
	o.Stall = time.Second
	done := make(chan error, 1)
	go func() { done <- fetch.New(s, o).Fetch(t.Context(), plainBlob(body)) }()
	for silent.Load() == 0 {
		if err := other.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := near.Health(t.Context()); err != nil { // within its own patience of 2 s
			t.Errorf("the site has gone silent for everything: %v", err)
		}
		if err := other.Health(t.Context()); err != nil {
			t.Errorf("the site has gone silent for everybody: %v", err)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("the blob is not asked for anew over another connection: %v", err)
	}
	want(t, s, body)
	if silent.Load() < 2 || others.Load() < 6 {
		t.Errorf("asked %d times for the blob, and %d times for something else", silent.Load(), others.Load())
	}
}
