package admission_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"overland/internal/admission"
)

// A client that takes nothing of a file is closed, also where the kernel sends it, and what it did not
// take is dropped; one that takes it bit by bit, and one whose answer is not there yet, are not.
func TestAClientThatTakesNothingIsClosed(t *testing.T) {
	const slow = 800 * time.Millisecond
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 32<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	l, dial := opened(t, admission.Options{Conns: 10, Slow: slow})
	var sending atomic.Int32
	s := &http.Server{ConnState: admission.ConnState, ConnContext: admission.ConnContext, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			time.Sleep(2 * slow)
		}
		sending.Add(1)
		defer sending.Add(-1)
		http.ServeFile(w, r, file)
	})}
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	ask := func(path string) net.Conn {
		c := dial("127.0.0.2")
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		return c
	}
	late, bits, nothing := ask("/late"), ask("/"), ask("/")
	got := make(chan error)
	go func() {
		n, err := io.CopyN(io.Discard, late, 32<<20)
		if err != nil {
			err = fmt.Errorf("the late answer broke off after %d bytes: %w", n, err)
		}
		got <- err
	}()
	for range 40 { // 4 times slow
		if _, err := io.CopyN(io.Discard, bits, 64<<10); err != nil {
			t.Fatalf("one that takes it bit by bit is closed: %v", err)
		}
		time.Sleep(slow / 10)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	if n := sending.Load(); n != 1 {
		t.Errorf("%d answers are being sent; want the one that is taken bit by bit", n)
	}
	if n, err := io.Copy(io.Discard, nothing); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one that took nothing for so long gets %d bytes, %v", n, err)
	}
}

// A client crawls that takes less than 16 KiB in the time that it is given, for each request anew.
func TestWhatACrawlIs(t *testing.T) {
	const slow = time.Minute
	l, dial := opened(t, admission.Options{Conns: 1})
	dial("127.0.0.2") // reads nothing
	conn := accept(t, l).(*admission.Conn)
	if err := conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the client took 64 MiB: %v", err)
	}
	c, now := conn.Conn.(*net.TCPConn), time.Now()
	for _, x := range []struct {
		last, since time.Duration // ago
		taken       int64         // since last
		want        bool
	}{
		{2 * slow, 3 * slow, 0, true},
		{2 * slow, 3 * slow, 16<<10 - 1, true}, // next to nothing
		{2 * slow, 3 * slow, 16 << 10, false},
		{slow / 2, 3 * slow, 0, false},
		{2 * slow, 0, 0, false}, // the request is new: what was before does not count
	} {
		if got := admission.Crawls(c, now.Add(-x.last), now.Add(-x.since), x.taken, slow); got != x.want {
			t.Errorf("%+v: %v", x, got)
		}
	}
}

func TestClients(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "10.0.0.2", false},
		{"::ffff:10.0.0.1", "10.0.0.1", true},
		{"fd00:1::1", "fd00:1::ffff:0:1", true},
		{"fd00:1::1", "fd00:1:0:1::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		a, b := admission.ClientAt(netip.MustParseAddr(c.a)), admission.ClientAt(netip.MustParseAddr(c.b))
		if (a == b) != c.same {
			t.Errorf("%s and %s: %v and %v", c.a, c.b, a, b)
		}
	}
	if c := admission.ClientOf(&net.UnixAddr{Name: "x"}); c != (admission.Client{}) {
		t.Errorf("a client without an address: %v", c)
	}
}
