package session_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/session"
)

// A command that fetches nothing waits for none of the registries that this machine's tools would
// ask: nobody dials them.
func TestNobodyIsAskedForWhatTheCommandDoesNotFetch(t *testing.T) {
	l := listen(t, "127.0.0.2:0")
	var asked atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			c.Close()
		}
	}()
	defer func() { l.Close(); <-done }()
	base := "http://" + l.Addr().String()
	t.Setenv("GOPROXY", base)
	t.Setenv("NPM_CONFIG_REGISTRY", base+"/")
	t.Setenv("PIP_INDEX_URL", base+"/simple")
	t.Setenv("CARGO_REGISTRIES_MINE_INDEX", "sparse+"+base+"/")
	o, out := newOptions(t, "true")
	o.Environ = os.Environ()
	if _, err := session.Record(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("dialled %d times", n)
	}
}

// What a command fetches reaches it while the origin still has the rest.
func TestACommandGetsBytesWhileTheyCome(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	file := filepath.Join(t.TempDir(), "file")
	flowed := false
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		for range 500 {
			if info, err := os.Stat(file); err == nil && info.Size() > 0 {
				flowed = true
				break
			}
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		_, _ = w.Write(body[len(body)/2:])
	}))
	srv.Listener.Close()
	srv.Listener = listen(t, "127.0.0.2:0")
	srv.Start()
	defer srv.Close()
	o, out := newOptions(t, "curl -sfN -o "+file+" "+srv.URL+"/file")
	res, err := session.Record(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, body) || !flowed {
		t.Errorf("%d bytes, %v; flowed %t", len(got), err, flowed)
	}
	if len(res.Lock.Entries) != 1 || res.Lock.Entries[0].Size != int64(len(body)) {
		t.Errorf("%+v", res.Lock.Entries)
	}
}
