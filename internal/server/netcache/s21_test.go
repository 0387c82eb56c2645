package netcache_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/netcache/server"
	"overland/internal/store"
)

// from returns a client with the address ip.
func from(t *testing.T, ip string) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	transport := &http.Transport{DialContext: d.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// begun opens an upload of data from the address ip, sends beginning of it, and nothing more.
func begun(t *testing.T, base, ip string, data, beginning []byte, header string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "PUT /shacache/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nContent-Range: bytes 0-%d/%d\r\nRepr-Digest: %s\r\n%s\r\n%s",
		nameOf(data), len(data), len(data)-1, len(data), reprDigest(data), header, beginning); err != nil {
		t.Fatal(err)
	}
	return c
}

// drip sends a byte now and then, until the test ends.
func drip(t *testing.T, c net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
}

// part sends the bytes of data from on, -1 = it asks how many are there.
func part(t *testing.T, c *http.Client, base string, data []byte, from int, header ...string) answer {
	t.Helper()
	span, body := fmt.Sprintf("bytes */%d", len(data)), []byte(nil)
	if from >= 0 {
		span, body = fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)), data[from:]
	}
	return do(t, c, http.MethodPut, base+"/shacache/"+nameOf(data), bytes.NewReader(body),
		append([]string{"Content-Range", span, "Repr-Digest", reprDigest(data)}, header...)...)
}

// A writer that drips a bad beginning neither blocks nor spoils another's upload of the same blob:
// whether it is at another address, has another upload id, or is the same client without one.
func TestS21TwoWritersOfOneBlob(t *testing.T) {
	for what, c := range map[string]struct{ ip, theirs, ours string }{
		"another address":      {"127.0.0.3", "", ""},
		"another id":           {"127.0.0.2", "Overland-Upload: one\r\n", "two"},
		"the same client":      {"127.0.0.2", "", ""},
		"the same address, id": {"127.0.0.2", "Overland-Upload: one\r\n", "one"},
	} {
		t.Run(what, func(t *testing.T) {
			base, s := serve(t, lab)
			data := bytes.Repeat([]byte("0123456789"), 10_000)
			bad := begun(t, base, "127.0.0.2", data, []byte("not the beginning of it"), c.theirs)
			waitForUploads(t, s, 1)
			drip(t, bad)
			client, began := from(t, c.ip), time.Now()
			for range 2 {
				there := part(t, client, base, data, -1, "Overland-Upload", c.ours)
				if there.status != http.StatusPermanentRedirect || there.header.Get("Range") != "" {
					t.Fatalf("asked: %d %q, want 308 and nothing there", there.status, there.header.Get("Range"))
				}
			}
			if a := part(t, client, base, data, 0, "Overland-Upload", c.ours); a.status != http.StatusCreated || a.body != nameOf(data) {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			if a := do(t, client, http.MethodGet, base+"/shacache/"+nameOf(data), nil); a.body != string(data) {
				t.Errorf("%d, %d bytes", a.status, len(a.body))
			}
			// The other one is told the same when it asks again.
			if a := part(t, from(t, "127.0.0.2"), base, data, -1); a.status != http.StatusCreated {
				t.Errorf("the other writer: %d %s", a.status, a.body)
			}
		})
	}
}

// Behind one address, as of a NAT, nobody goes on with an upload whose id it does not know, also when
// nobody is sending it: neither is it spoiled, nor does it spoil.
func TestS21AnUploadIsOfItsID(t *testing.T) {
	base, s := serve(t, lab)
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	c := from(t, "127.0.0.2")
	first := begun(t, base, "127.0.0.2", data, data[:500], "Overland-Upload: one\r\n")
	waitForUploads(t, s, 1)
	first.Close()
	for _, id := range []string{"", "two", "on"} {
		if there := part(t, c, base, data, -1, "Overland-Upload", id); there.status != http.StatusPermanentRedirect || there.header.Get("Range") != "" {
			t.Errorf("id %q: %d %q", id, there.status, there.header.Get("Range"))
		}
	}
	there := part(t, c, base, data, -1, "Overland-Upload", "one")
	for range 100 { // until what was sent has come
		if there.header.Get("Range") != "" {
			break
		}
		there = part(t, c, base, data, -1, "Overland-Upload", "one")
	}
	if there.header.Get("Range") != "bytes=0-499" {
		t.Errorf("its own: %d %q", there.status, there.header.Get("Range"))
	}
}

// waitForUploads returns when so many uploads have begun.
func waitForUploads(t *testing.T, s *server.Shelf, n int) {
	t.Helper()
	for range 500 {
		if len(uploads(t, s)) >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d uploads", len(uploads(t, s)))
}

// A client whose connection died silently goes on where it stopped, at once.
func TestAClientThatComesBackTakesOver(t *testing.T) {
	base, s := serve(t, lab)
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	dead := begun(t, base, "127.0.0.2", data, data[:70_000], "")
	waitForUploads(t, s, 1)
	time.Sleep(100 * time.Millisecond) // for what was sent
	there := part(t, from(t, "127.0.0.2"), base, data, -1)
	if got := there.header.Get("Range"); there.status != http.StatusPermanentRedirect || got != "bytes=0-69999" {
		t.Errorf("%d %q", there.status, got)
	}
	if a := part(t, from(t, "127.0.0.2"), base, data, 70_000); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
	if _, err := io.ReadAll(dead); err != nil {
		t.Log(err)
	}
}

// What comes in for a release is not an upload of the network cache: it is neither waited for, nor
// gone on with, nor spoiled.
func TestS21AReleasesPartialBlobIsLeftAlone(t *testing.T) {
	base, s := serve(t, lab)
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	in, err := store.Resume(t.Context(), depotOf(t, s), digest.Of(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.Write(data[:500]); err != nil {
		t.Fatal(err)
	}
	begun(t, base, "127.0.0.2", data, []byte("bad"), "").Close()
	if there := part(t, from(t, "127.0.0.3"), base, data, -1); there.status != http.StatusPermanentRedirect || there.header.Get("Range") != "" {
		t.Errorf("%d %q", there.status, there.header.Get("Range"))
	}
	if a := part(t, from(t, "127.0.0.3"), base, data, 0); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
	if in.Offset() != 500 {
		t.Errorf("the release's blob has %d bytes", in.Offset())
	}
}

// One writer has so many uploads that are not complete, and no more: its oldest goes for a new one,
// and nobody else's.
func TestS21UploadsThatAreNotCompleteAreBounded(t *testing.T) {
	base, s := serve(t, lab)
	theirs := bytes.Repeat([]byte("0123456789"), 1000)
	begun(t, base, "127.0.0.3", theirs, theirs[:4000], "").Close()
	waitForUploads(t, s, 1)
	for n := range 40 {
		data := []byte(fmt.Sprintf("%d %s", n, theirs))
		if a := part(t, from(t, "127.0.0.2"), base, data, -1); a.status != http.StatusPermanentRedirect {
			t.Fatalf("upload %d: %d %s", n, a.status, a.body)
		}
	}
	if n := len(uploads(t, s)); n != 17 {
		t.Errorf("%d uploads are pending, want 16 of one writer and the other's", n)
	}
	if there := part(t, from(t, "127.0.0.3"), base, theirs, -1); there.header.Get("Range") != "bytes=0-3999" {
		t.Errorf("the other writer's upload: %d %q", there.status, there.header.Get("Range"))
	}
}

// uploads returns the ids of the uploads that are not complete.
func uploads(t *testing.T, s *server.Shelf) (ids []string) {
	t.Helper()
	depot := depotOf(t, s)
	if err := depot.Pending(t.Context(), "netcache-", func(id string, _ int64, _ time.Time) error {
		ids = append(ids, id)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return ids
}
