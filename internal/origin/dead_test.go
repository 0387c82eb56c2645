package origin_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"overland/internal/httpx"
	"overland/internal/origin"
	"overland/internal/testkit/badlink"
)

// A connection that goes silent is closed, and whoever was on it goes on over another one: over
// HTTP/2, one dead connection would otherwise swallow every retry, and all that comes after.
func TestADeadConnectionIsLeft(t *testing.T) {
	body := bytes.Repeat(content, 16) // 1 MiB
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("%s", r.Proto)
		}
		w.Header().Set("Etag", `"v1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	link, err := badlink.Listen(badlink.To(s.Listener.Addr().String()), badlink.Faults{SilentAt: 400_000})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	tr := httpx.NewTransport(httpx.Ways{Change: func(tr *http.Transport) {
		tr.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		tr.TLSClientConfig.NextProtos = nil
	}})
	defer tr.CloseIdleConnections()
	c := &origin.Client{Transport: tr, Wait: time.Millisecond, Stall: time.Second, Dir: t.TempDir()}
	for i := range 2 {
		var m memory
		if _, err := c.GetInto(t.Context(), want("https://"+link.Addr(), "x"), &m); err != nil || !bytes.Equal(m.Bytes(), body) {
			t.Fatalf("%d: %d bytes, %v", i, m.Len(), err)
		}
	}
	n := link.Counts()
	if n.Silences != 1 || n.Conns != 2 || n.Down > int64(2*len(body))*105/100 {
		t.Errorf("%+v for two times %d bytes", n, len(body))
	}
}
