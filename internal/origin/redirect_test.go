package origin

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"overland/internal/errs"
	"overland/internal/httpx"
)

func TestNothingLeadsFromHTTPSToHTTP(t *testing.T) {
	tr := &transfer{url: "https://example.org/x", c: &Client{}}
	from, _ := http.NewRequest(http.MethodGet, "https://example.org/x", nil)
	to, _ := http.NewRequest(http.MethodGet, "http://example.org/x", nil)
	c, err := tr.client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckRedirect(to, []*http.Request{from}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("error %v", err)
	}
}

// away is a connection whose other end seems to be elsewhere.
type away struct {
	net.Conn
	addr net.Addr
}

func (a away) RemoteAddr() net.Addr { return a.addr }

// An origin that is far away has this machine ask neither its own services nor those of its network,
// in its place: by a redirect, a name that means loopback, or an address in a document.
func TestAnOriginLeadsNowhereNearer(t *testing.T) {
	hosts := map[string]string{
		"far.example": "192.0.2.1", "other.example": "198.51.100.7", "in.example": "10.0.0.1", "in2.example": "192.168.1.1",
		"localhost": "127.0.0.1", "near.example": "127.0.0.1", "rebound.example": "127.0.0.1", "192.0.2.9": "192.0.2.9", "169.254.169.254": "169.254.169.254", "[fe80::1]": "fe80::1", "127.0.0.1": "127.0.0.1",
		"[64:ff9b::a00:1]": "64:ff9b::a00:1", "translated.example": "64:ff9b::7f00:1", "[::ffff:a9fe:a9fe]": "::ffff:169.254.169.254", "2130706433": "127.0.0.1",
	}
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, "http://"+to+"/", http.StatusFound)
			return
		}
		asked.Add(1)
		_, _ = w.Write([]byte("secret"))
	}))
	defer srv.Close()
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(addr)
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		c, err := new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
		if err != nil {
			return nil, err
		}
		return away{c, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(hosts[host]), 80))}, nil
	}}
	defer tr.CloseIdleConnections()
	c := &Client{Transport: tr, Tries: 1, Dir: t.TempDir()}
	for _, tt := range []struct {
		from, to string
		ok       bool
	}{
		{"far.example", "other.example", true},
		{"far.example", "in.example", false},
		{"far.example", "near.example", false},
		{"far.example", "127.0.0.1", false},
		{"far.example", "169.254.169.254", false},
		{"far.example", "[fe80::1]", false},
		{"far.example", "localhost", false},
		{"far.example", "[64:ff9b::a00:1]", false},
		{"far.example", "translated.example", false},
		{"far.example", "[::ffff:a9fe:a9fe]", false},
		{"far.example", "2130706433", false},
		{"in.example", "in2.example", true},
		{"in.example", "other.example", true},
		{"in.example", "near.example", false},
		{"near.example", "in.example", true},
		{"near.example", "127.0.0.1", true},
		// Two requests over the connections of before.
		{"near.example", "near.example", true},
		{"far.example", "near.example", false},
	} {
		before := asked.Load()
		a, err := c.Get(t.Context(), Request{URL: "http://" + tt.from + "/?to=" + url.QueryEscape(tt.to)})
		if err == nil {
			a.Close()
		}
		if (err == nil) != tt.ok || !tt.ok && (errs.KindOf(err) != errs.Untrusted || asked.Load() != before) {
			t.Errorf("%s leads to %s: %v, asked %d times", tt.from, tt.to, err, asked.Load()-before)
		}
	}
	for to, ok := range map[string]bool{"other.example": true, "rebound.example": false, "in.example": false, "127.0.0.1": false} {
		before := asked.Load()
		a, err := c.Get(t.Context(), Request{URL: "http://" + to + "/", Named: "http://192.0.2.9/index"})
		if err == nil {
			a.Close()
		}
		if (err == nil) != ok || !ok && (errs.KindOf(err) != errs.Untrusted || asked.Load() != before) {
			t.Errorf("a document names %s: %v, asked %d times", to, err, asked.Load()-before)
		}
	}
}

// Who may reach what is beyond this machine reaches nothing of the machine itself, by whatever name or address.
func TestBeyondThisMachine(t *testing.T) {
	own, err := httpx.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	mine := own[slices.IndexFunc(own, func(a netip.Addr) bool { return a.Is4() })]
	asked := 0
	tr := &http.Transport{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
		asked++
		host, _, _ := net.SplitHostPort(addr)
		ip := map[string]netip.Addr{
			"far.example": netip.MustParseAddr("192.0.2.77"), "in.example": netip.MustParseAddr("10.99.0.1"), "near.example": netip.MustParseAddr("127.0.0.1"),
			"mine.example": mine, "meta.example": netip.MustParseAddr("169.254.169.254"),
		}[host]
		us, them := net.Pipe()
		go func() {
			defer them.Close()
			if r, err := http.ReadRequest(bufio.NewReader(them)); err == nil {
				_, _ = io.WriteString(them, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"+r.Method[:2])
			}
		}()
		return away{us, net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 80))}, nil
	}}
	c := &Client{Transport: tr, Tries: 1, Dir: t.TempDir()}
	for host, ok := range map[string]bool{"far.example": true, "in.example": true, "near.example": false, "mine.example": false, "meta.example": false, "localhost": false, "127.0.0.1:80": false} {
		a, err := c.Get(t.Context(), Request{URL: "http://" + host + "/", Beyond: true})
		if err == nil {
			a.Close()
		}
		if (err == nil) != ok || !ok && (errs.KindOf(err) != errs.Untrusted || errs.HintOf(err) == "") {
			t.Errorf("%s: %v", host, err)
		}
	}
	if asked != 5 {
		t.Errorf("%d connections, want one for each name", asked)
	}
}

// A login is for its host and port: another port of the same host may be another user's.
func TestALoginIsNotForAnotherPort(t *testing.T) {
	got := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization") + r.Header.Get("Cookie")
	}))
	defer other.Close()
	first := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer first.Close()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	a, err := (&Client{Transport: tr, Dir: t.TempDir()}).Get(t.Context(), Request{URL: first.URL, Header: http.Header{"Authorization": {"Basic geheim"}, "Cookie": {"geheim"}}})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	if s := <-got; s != "" {
		t.Errorf("another port was told %q", s)
	}
}
