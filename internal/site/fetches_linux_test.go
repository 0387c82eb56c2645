package site

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// One client that asks for a thousand things which an origin is slow to give neither asks that origin for
// all of them at once, nor keeps others waiting.
func TestOneClientCausesOnlySoManyFetches(t *testing.T) {
	var slow, most atomic.Int64
	release := make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/slow.example/") {
			n := slow.Add(1)
			defer slow.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		_, _ = fmt.Fprintf(w, "module %s\n", strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/@v/")[0])
	}))
	t.Cleanup(origin.Close)
	face := make(chan string, 1)
	start(t, newSite(t), Options{Grace: time.Millisecond, Cache: CacheOptions{
		Listen: "127.0.0.1:0", Upstreams: map[string][]string{"go": {origin.URL}}, Ready: func(a string) { face <- a },
	}})
	addr := <-face
	var asking sync.WaitGroup
	defer asking.Wait()
	open := sync.OnceFunc(func() { close(release) })
	defer open()
	for n := range 200 {
		c := dialFrom(t, "127.0.0.2", addr)
		if _, err := fmt.Fprintf(c, "GET /go/slow.example/m%d/@v/v1.0.0.mod HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", n); err != nil {
			t.Fatal(err)
		}
		asking.Go(func() { _, _ = c.Read(make([]byte, 1)) })
	}
	for deadline := time.Now().Add(20 * time.Second); slow.Load() < 64; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are being fetched", slow.Load())
		}
	}
	if took := answered(t, "127.0.0.3", addr, "/go/fast.example/x/@v/v1.0.0.mod"); took > 5*time.Second {
		t.Errorf("somebody else waited for %v", took)
	}
	open()
	asking.Wait()
	if n := most.Load(); n != 64 {
		t.Errorf("%d were fetched at once", n)
	}
}
