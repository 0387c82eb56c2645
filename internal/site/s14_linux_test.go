package site

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// dialFrom connects from an address of this machine.
func dialFrom(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// addrOf returns the address and port in a site's URL.
func addrOf(url string) string {
	addr, _, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "#")
	return addr
}

// served asks for path from an address of this machine, on a connection of its own, and
// returns how long the answer took.
func served(t *testing.T, from, to, path string, secure bool) time.Duration {
	t.Helper()
	began := time.Now()
	c := dialFrom(t, from, to)
	defer c.Close()
	if err := c.SetDeadline(began.Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path); err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%s is not served: %v", from, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: status %d, %v", from, resp.StatusCode, err)
	}
	return time.Since(began)
}

// siteWith runs a site that holds a large blob.
func siteWith(t *testing.T, o Options) (addr, blob string) {
	t.Helper()
	dir := newSite(t)
	depot, err := storedir.Open(dir+"/depot", storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := store.PutBytes(t.Context(), depot, random(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	o.Grace = time.Millisecond
	url, _ := start(t, dir, o)
	return addrOf(url), "/v1/blobs/" + string(d)
}

// 520 connections of one address that ask for a blob and read nothing leave every other address
// served, at once and again and again.
func TestS14ReadersThatReadNothing(t *testing.T) {
	addr, blob := siteWith(t, Options{})
	var readers sync.WaitGroup
	for range 520 {
		readers.Go(func() {
			c := tls.Client(dialFrom(t, "127.0.0.2", addr), &tls.Config{InsecureSkipVerify: true})
			if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", blob); err != nil {
				return // it lost its place already
			}
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.ReadFull(c, make([]byte, 17)) // the answer has begun, and fills the kernel's buffers
		})
	}
	readers.Wait()
	for n := range 20 {
		from := fmt.Sprintf("127.0.1.%d", n+1)
		if took := served(t, from, addr, "/v1/health", true); took > 5*time.Second {
			t.Errorf("%s waited for %v", from, took)
		}
	}
	// Whoever downloads something is one of many, and not the one that makes room.
	served(t, "127.0.2.1", addr, blob, true)
}

// 4,100 connections of one address that say nothing leave every other address served, by the
// cache and over HTTPS.
func TestS14SilentConnections(t *testing.T) {
	face := make(chan string, 1)
	o := Options{Cache: CacheOptions{Listen: "127.0.0.1:0", Upstreams: map[string][]string{"go": {newProxy(t).URL}}}}
	o.Cache.Ready = func(a string) { face <- a }
	secure, blob := siteWith(t, o)
	plain := <-face
	for _, c := range []struct {
		addr, path string
		tls        bool
	}{{secure, "/v1/health", true}, {plain, "/shacache/", false}} {
		for range 4100 {
			dialFrom(t, "127.0.0.2", c.addr)
		}
		for n := range 10 {
			from := fmt.Sprintf("127.0.1.%d", n+1)
			if !c.tls { // what answers, answers: there is no blob
				if took := answered(t, from, c.addr, c.path); took > 5*time.Second {
					t.Errorf("cache: %s waited for %v", from, took)
				}
				continue
			}
			if took := served(t, from, c.addr, c.path, true); took > 5*time.Second {
				t.Errorf("HTTPS: %s waited for %v", from, took)
			}
		}
	}
	served(t, "127.0.2.1", secure, blob, true)
}

// answered asks for path over plain HTTP, and returns how long any answer took.
func answered(t *testing.T, from, to, path string) time.Duration {
	t.Helper()
	began := time.Now()
	c := dialFrom(t, from, to)
	defer c.Close()
	if err := c.SetDeadline(began.Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%s is not served: %v", from, err)
	}
	resp.Body.Close()
	return time.Since(began)
}
