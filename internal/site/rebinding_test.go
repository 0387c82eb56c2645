package site

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A web page whose name its owner points at the site reads and writes nothing, on any listener: its
// browser names that host.
func TestAPageOfAnotherNameReachesNothing(t *testing.T) {
	face := make(chan string, 1)
	url, _ := start(t, newSite(t), Options{
		Names: []string{"site.example"},
		Cache: CacheOptions{
			Listen: "127.0.0.1:0", Writes: true, Upstreams: map[string][]string{"go": {newProxy(t).URL}}, Ready: func(a string) { face <- a },
		},
	})
	plain := <-face
	ask := func(secure bool, line, host string) (int, string) {
		t.Helper()
		to := plain
		if secure {
			to = addrOf(url)
		}
		c, err := net.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if secure {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		}
		if _, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", line, host); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	for _, c := range []struct {
		secure bool
		line   string
	}{
		{true, "GET /v1/health"},
		{true, "GET /shadir/key"},
		{true, "POST /shacache"},
		{true, "GET /v1/cache/go/x"},
		{true, "OPTIONS *"},
		{true, "CONNECT evil.example:443"},
		{true, "GET http://evil.example/v1/health"},
		{false, "POST /shacache"},
		{false, "GET /shadir/key"},
		{false, "GET /go/x/@v/list"},
		{false, "GET /"},
	} {
		if status, body := ask(c.secure, c.line, "evil.example"); status != http.StatusMisdirectedRequest || !strings.Contains(body, "names: [evil.example]") {
			t.Errorf("%s: status %d, %s", c.line, status, body)
		}
	}
	// A proxy's request has another host by its nature. What is not in a source is refused, and
	// nothing of the site itself is behind that name.
	for _, line := range []string{"CONNECT evil.example:443", "GET http://evil.example/", "POST http://evil.example/shacache", "GET http://evil.example/shadir/key"} {
		if status, body := ask(false, line, "evil.example"); status != http.StatusForbidden && status != http.StatusNotFound {
			t.Errorf("%s: status %d, %s", line, status, body)
		}
	}
	for _, host := range []string{"site.example", "localhost:1", "127.0.0.1"} {
		if status, body := ask(true, "GET /v1/health", host); status != http.StatusBadRequest && status != http.StatusOK {
			t.Errorf("%s: status %d, %s", host, status, body)
		}
		if status, body := ask(false, "POST /shacache", host); status != http.StatusCreated {
			t.Errorf("%s: status %d, %s", host, status, body)
		}
	}
}
