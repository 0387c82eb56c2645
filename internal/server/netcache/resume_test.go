package netcache_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/netcache/server"
	"overland/internal/store"
)

// reprDigest returns the header that names the whole of b.
func reprDigest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// An upload in parts, as it stands on the wire: docs/format/shacache.md.
func TestPartsOnTheWire(t *testing.T) {
	base, s := serve(t, lab)
	data := bytes.Repeat([]byte("0123456789"), 1000)
	name := nameOf(data)
	put := func(span string, body []byte, sum string) answer {
		t.Helper()
		return do(t, nil, http.MethodPut, base+"/shacache/"+name, bytes.NewReader(body),
			"Content-Range", fmt.Sprintf("bytes %s/%d", span, len(data)), "Repr-Digest", sum)
	}
	more := func(a answer, there string) {
		t.Helper()
		if a.status != http.StatusPermanentRedirect || a.header.Get("Range") != there {
			t.Errorf("%d %q %s, want 308 %q", a.status, a.header.Get("Range"), a.body, there)
		}
	}
	good := reprDigest(data)
	more(put("*", nil, good), "")
	more(put("100-9999", data[100:], good), "") // from where the server is not: nothing is taken

	// A part that breaks off stays.
	c := dial(t, base)
	if _, err := fmt.Fprintf(c, "PUT /shacache/%s%sContent-Length: 10000\r\nContent-Range: bytes 0-9999/10000\r\nRepr-Digest: %s\r\n\r\n%s",
		name, head, good, data[:4000]); err != nil {
		t.Fatal(err)
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b := make([]byte, 13); true {
		if _, err := c.Read(b); err != nil || string(b) != "HTTP/1.1 400 " {
			t.Errorf("%q, %v", b, err)
		}
	}
	c.Close()
	more(put("*", nil, good), "bytes=0-3999")
	if a := do(t, nil, http.MethodGet, base+"/shacache/"+name, nil); a.status != http.StatusNotFound {
		t.Errorf("a part is visible: %d", a.status)
	}

	// Another process goes on.
	again, err := openIn(filepath.Dir(s.Dir()), fsx.FS{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := server.New(again, server.Options{}).PutPart(t.Context(), server.By{Client: "127.0.0.1"}, bytes.NewReader(data[4000:]), name,
		server.Part{From: 4000, Size: int64(len(data)), Sum: digest.Of(data)})
	if err != nil || n != int64(len(data)) {
		t.Fatal(n, err)
	}
	if a := put("*", nil, good); a.status != http.StatusCreated || a.body != name {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := do(t, nil, http.MethodGet, base+"/shacache/"+name, nil); a.body != string(data) {
		t.Errorf("%d, %d bytes", a.status, len(a.body))
	}
	clean(t, s)
}

func TestBadParts(t *testing.T) {
	base, s := serve(t, lab)
	data := bytes.Repeat([]byte("0123456789"), 1000)
	other := bytes.Repeat([]byte("9876543210"), 1000)
	for _, c := range []struct{ what, span, sum string }{
		{"another sha512", "0-9999/10000", reprDigest(other)},
		{"another sha256", "0-9999/10000", reprDigest(nil)},
		{"no digest", "0-9999/10000", ""},
		{"a short digest", "0-9999/10000", "sha-256=:AAAA:"},
		{"no size", "0-9999/*", reprDigest(other)},
		{"nothing", "*/0", reprDigest(nil)},
		{"not to the end", "0-99/10000", reprDigest(other)},
		{"backwards", "9999-0/10000", reprDigest(other)},
		{"negative", "-1-9999/10000", reprDigest(other)},
	} {
		a := do(t, nil, http.MethodPut, base+"/shacache/"+nameOf(data), bytes.NewReader(other), "Content-Range", "bytes "+c.span, "Repr-Digest", c.sum)
		if a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", c.what, a.status, a.body)
		}
	}
	// A blob that the depot has for another reason gets the name that it has, and no other.
	d, err := store.PutBytes(t.Context(), depotOf(t, s), other)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{nameOf(data): http.StatusBadRequest, nameOf(other): http.StatusCreated} {
		a := do(t, nil, http.MethodPut, base+"/shacache/"+name, nil, "Content-Range", "bytes */10000", "Repr-Digest", reprDigest(other))
		if a.status != want {
			t.Errorf("%.8s: %d %s, want %d", name, a.status, a.body, want)
		}
	}
	if got, _, err := s.Resolve(t.Context(), nameOf(other)); err != nil || got != d {
		t.Error(got, err)
	}
	clean(t, s)
	// Nobody else asks what is half there.
	closed, _ := serve(t, options{})
	if a := do(t, nil, http.MethodPut, closed+"/shacache/"+nameOf(data), nil, "Content-Range", "bytes */10000", "Repr-Digest", reprDigest(data)); a.status != http.StatusForbidden {
		t.Errorf("a reader asks: %d", a.status)
	}
}

// TestS14ManyRangesOfOneBlob: one range is served; to several the answer is the whole, once.
func TestS14ManyRangesOfOneBlob(t *testing.T) {
	base, _ := serve(t, lab)
	data := bytes.Repeat([]byte("overland"), 1000)
	url := base + "/shacache/" + nameOf(data)
	if a := do(t, nil, http.MethodPut, url, bytes.NewReader(data)); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for ranges, want := range map[string]int{
		"bytes=0-7": http.StatusPartialContent, "bytes=8-": http.StatusPartialContent,
		"bytes=0-0,2-2": http.StatusOK, "bytes=0-0" + strings.Repeat(",0-0", 1000): http.StatusOK,
	} {
		a := do(t, nil, http.MethodGet, url, nil, "Range", ranges)
		if a.status != want || want == http.StatusOK && a.body != string(data) {
			t.Errorf("%.20s: %d, %d bytes, want %d", ranges, a.status, len(a.body), want)
		}
	}
}
