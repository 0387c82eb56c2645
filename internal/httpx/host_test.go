package httpx_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/httpx"
)

// asked returns the status that a server called site.example gives to a request, and its body: 200 =
// it is for the server, 202 = it is the proxy's.
func asked(t *testing.T, host, target string, proxy bool) (int, string) {
	t.Helper()
	h := &httpx.Hosts{Names: []string{"Site.Example", "dot.example.", "203.0.113.7"}, Hint: "names: [%s]"}
	say := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	guard := h.Guard(say(http.StatusOK), nil)
	if proxy {
		guard = h.Guard(say(http.StatusOK), say(http.StatusAccepted))
	}
	s := httptest.NewServer(guard)
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(target + "\r\n" + host + "Connection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			break
		}
	}
	_, status, _ := strings.Cut(b.String(), " ")
	for code, text := range map[int]string{200: "200", 202: "202", 400: "400", 421: "421"} {
		if strings.HasPrefix(status, text) {
			return code, b.String()
		}
	}
	t.Fatalf("answer: %q", b.String())
	return 0, ""
}

func TestHosts(t *testing.T) {
	own, err := httpx.Addresses()
	if err != nil || len(own) == 0 {
		t.Fatalf("this machine has no address: %v", err)
	}
	for host, want := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:8443": 200, "localhost:1": 200, "LOCALHOST.": 200, "[::1]": 200, "[::1]:80": 200, "127.9.9.9": 200,
		"dot.example": 200, "dot.example.:80": 200, "site.example": 200, "SITE.example.:8443": 200, "203.0.113.7:80": 200, "[::ffff:203.0.113.7]": 200,
		net.JoinHostPort(own[0].String(), "1"): 200,
		"evil.example":                         421, "evil.example:8443": 421, "site.example.evil.example": 421, "198.51.100.1": 421, "0.0.0.0": 421,
		"xsite.example": 421, "[2001:db8::1]:80": 421, "127.0.0.1.": 200, "127.0.0.1.evil.example": 421, "2130706433": 421, "0x7f.1": 421,
	} {
		if got, answer := asked(t, "Host: "+host+"\r\n", "GET / HTTP/1.1", false); got != want {
			t.Errorf("Host %s: %s", host, answer)
		}
	}
	if _, answer := asked(t, "Host: evil.example:80\r\n", "GET / HTTP/1.1", false); !strings.Contains(answer, "names: [evil.example]") {
		t.Errorf("no hint how the name is added: %s", answer)
	}
	for _, c := range []struct {
		host, target string
		proxy        bool
		want         int
	}{
		{"", "GET / HTTP/1.0", false, 200},
		{"", "GET / HTTP/1.1", false, 400},
		{"Host:\r\n", "GET / HTTP/1.1", false, 421},
		{"Host: localhost:evil\r\n", "GET / HTTP/1.1", false, 421},
		{"Host: [localhost\r\n", "GET / HTTP/1.1", false, 421},
		{"Host: 127.0.0.1\r\n", "GET http://evil.example/ HTTP/1.1", false, 421},
		{"Host: evil.example\r\n", "GET http://127.0.0.1/ HTTP/1.1", false, 200}, // RFC 9112 §3.2.2: the target counts
		{"Host: 127.0.0.1\r\n", "GET http://evil.example/ HTTP/1.1", true, 202},
		{"Host: evil.example\r\n", "GET / HTTP/1.1", true, 421},
		{"Host: evil.example:443\r\n", "CONNECT evil.example:443 HTTP/1.1", false, 421},
		{"Host: evil.example:443\r\n", "CONNECT evil.example:443 HTTP/1.1", true, 202},
	} {
		if got, answer := asked(t, c.host, c.target, c.proxy); got != c.want {
			t.Errorf("%s, %q: %s", c.target, c.host, answer)
		}
	}
}

// A request of HTTP/2 may name nobody, and is for nobody then.
func TestARequestForNobody(t *testing.T) {
	h := &httpx.Hosts{}
	guard := h.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("served") }), nil)
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	r.Host, r.ProtoMajor, r.ProtoMinor = "", 2, 0
	if guard.ServeHTTP(w, r); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("status %d", w.Code)
	}
}

// The machine's addresses are its own, whichever of them the connection came to.
func TestEveryAddressOfTheMachine(t *testing.T) {
	guard := (&httpx.Hosts{}).Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), nil)
	own, err := httpx.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range own {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Host = net.JoinHostPort(ip.String(), "80")
		if guard.ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Errorf("%s: status %d", ip, w.Code)
		}
	}
}
