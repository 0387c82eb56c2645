package record_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/record"
	"overland/internal/testkit/badlink"
)

// TestALinkOf4KBPerSecond takes longer than the patience for silence, and is not silent.
func TestALinkOf4KBPerSecond(t *testing.T) {
	body := content[:24<<10]
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	link, err := badlink.Listen(badlink.To(o.Listener.Addr().String()), badlink.Faults{Rate: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	up := quick(t)
	up.Stall, up.Tries = 5*time.Second, 1
	began := time.Now()
	f, err := up.Get(t.Context(), files{"http://" + link.Addr()}.item("x").Request())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f.Body); err != nil || !bytes.Equal(got, body) || o.asked.Load() != 1 {
		t.Errorf("%d bytes, %v, asked %d times", len(got), err, o.asked.Load())
	}
	if took := time.Since(began); took < up.Stall {
		t.Errorf("the link was too fast: %s", took)
	}
}

// TestALinkThatIsCut moves hardly more than what is missing.
func TestALinkThatIsCut(t *testing.T) {
	body := bytes.Repeat(content, 64) // 4 MiB
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
	link, err := badlink.Listen(badlink.To(o.Listener.Addr().String()), badlink.Faults{CutEvery: 600_000})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	it := files{"http://" + link.Addr()}.item("x")
	it.Limit = int64(len(body))
	f, err := quick(t).Get(t.Context(), it.Request())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f.Body); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	c := link.Counts()
	if moved := float64(c.Down) / float64(len(body)); c.Cuts < 6 || moved > 1.02 {
		t.Errorf("%d cuts, %.4f × the bytes", c.Cuts, moved)
	}
}

// TestDNSIsDead: what is locked is served all the same, and what is not is named with its host.
func TestDNSIsDead(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	s := newStore(t)
	first := record.NewRecorder(s, record.Options{Upstream: quick(t)})
	defer first.Close()
	p := files{o.URL}
	if _, b, err := first.Get(t.Context(), p, p.item("x")); err != nil {
		t.Fatal(err)
	} else {
		b.Close()
	}
	up := quick(t)
	up.Tries = 1
	dead := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }}
	tr := &http.Transport{DialContext: (&net.Dialer{Resolver: dead}).DialContext}
	defer tr.CloseIdleConnections()
	up.Transport = tr
	r := record.NewRecorder(s, record.Options{Upstream: up, Lock: first.Lock()})
	defer r.Close()
	p = files{"http://origin.example"}
	_, b, err := r.Get(t.Context(), p, p.item("x"))
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	_, _, err = r.Get(t.Context(), p, p.item("y"))
	if dns := (*net.DNSError)(nil); errs.KindOf(err) != errs.Unavailable || !errors.As(err, &dns) || dns.Name != "origin.example" {
		t.Errorf("error %v (%v)", err, errs.KindOf(err))
	}
}
