package site

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"overland/internal/cache"
)

// atticFace is a site with an attic behind it.
type atticFace struct {
	*attic
	addr string
	k    *cache.Cache
}

func newAtticFace(t *testing.T) *atticFace {
	t.Helper()
	a := newAttic(t)
	a.publish("1", time.Now().Add(time.Hour))
	dir, addr := cachedSite(t, map[string][]string{"apt": {source(a.URL, a.keyFile())}})
	k, err := OpenCache(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return &atticFace{a, addr, k.Cache}
}

// want asks the cache for the path below apt's mount, or below that of a freeze ("at/NAME/apt"),
// and wants an answer of that status which contains text.
func (f *atticFace) want(mount, name string, status int, text string) {
	f.t.Helper()
	if got, body := get(f.t, f.addr, "/"+mount+"/attic/"+name); got != status || !strings.Contains(body, text) {
		f.t.Errorf("%s %s: %d %.300q, want %d with %q", mount, name, got, body, status, text)
	}
}

// tomorrow has the cache ask the archive again.
func (f *atticFace) tomorrow() {
	f.t.Helper()
	if err := f.k.Recheck(f.t.Context(), "apt", "attic/"+atticRelease); err != nil {
		f.t.Fatal(err)
	}
}

// A machine whose lists are of yesterday gets what these name, also when
// nobody has asked for it before.
func TestAptListsOfYesterday(t *testing.T) {
	f := newAtticFace(t)
	f.want("apt", atticRelease, 200, "Suite: calm")
	f.want("apt", atticIndex, 200, "Version: 1")
	f.publish("2", time.Now().Add(time.Hour))
	f.want("apt", atticIndex, 200, "Version: 1") // as the InRelease that the machine has
	f.tomorrow()
	f.want("apt", atticRelease, 200, "Suite: calm")
	f.want("apt", pool("1"), 200, "debian-binary")
	f.want("apt", pool("2"), 422, "no index") // no index that lists it was asked for
	f.want("apt", atticIndex, 200, "Version: 2")
	f.want("apt", pool("2"), 200, "debian-binary")
}

// An index that belongs to an InRelease which the cache does not have yet is refused, and the
// InRelease is asked for anew without waiting.
func TestAptMovesOnBetweenTwoRequests(t *testing.T) {
	f := newAtticFace(t)
	f.want("apt", atticRelease, 200, "Suite: calm")
	f.publish("2", time.Now().Add(time.Hour))
	f.want("apt", atticIndex, 422, "signed")
	f.want("apt", atticRelease, 200, "Suite: calm")
	f.want("apt", atticIndex, 200, "Version: 2")
}

// A freeze is one state of InRelease, index and packages, whatever the archive has since.
func TestAptAsOf(t *testing.T) {
	f := newAtticFace(t)
	f.want("apt", atticRelease, 200, "Suite: calm")
	f.want("apt", atticIndex, 200, "Version: 1")
	if _, err := f.k.Freeze(t.Context(), "tuesday", time.Time{}); err != nil {
		t.Fatal(err)
	}
	f.publish("2", time.Now().Add(time.Hour))
	f.tomorrow()
	f.want("apt", atticRelease, 200, "Suite: calm")
	f.want("apt", atticIndex, 200, "Version: 2")
	f.want("at/tuesday/apt", atticIndex, 200, "Version: 1")
	f.want("at/tuesday/apt", pool("1"), 200, "debian-binary")
}

func TestAptAttacks(t *testing.T) {
	f := newAtticFace(t)
	f.want("apt", atticRelease, 200, "Suite: calm")
	index := f.files[atticIndex]
	f.put(atticIndex, append([]byte("X-Evil: yes\n"), index...))
	f.want("apt", atticIndex, 422, "signed")
	f.put(atticIndex, index)
	f.want("apt", atticIndex, 200, "Version: 1")
	f.put(pool("1"), []byte("<!DOCTYPE html><p>Welcome to our WiFi"))
	f.want("apt", pool("1"), 503, "a web page")
	f.publish("2", time.Now().Add(-time.Minute))
	f.tomorrow()
	f.want("apt", atticRelease, 422, "expired")
}

// proxy asks the cache at addr as apt asks a proxy.
func proxy(t *testing.T, addr, method, target, user string) (int, string) {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := &http.Request{Header: http.Header{}}
	if user != "" {
		req.SetBasicAuth(user, "")
	}
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nProxy-Authorization: %s\r\n\r\n", method, target, req.Header.Get("Authorization"))
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// The cache is apt's proxy for the archives that it knows, and nobody's for anything else.
func TestAptProxy(t *testing.T) {
	f := newAtticFace(t)
	if _, err := f.k.Freeze(t.Context(), "tuesday", time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, target, user string
		status               int
	}{
		{"GET", f.URL + "/attic/" + atticRelease, "", 200},
		{"HEAD", "http://mirror.invalid/attic/" + atticRelease, "", 200},
		{"GET", "http://mirror.invalid/attic/" + atticRelease, "tuesday", 200},
		{"GET", "http://mirror.invalid/attic/" + atticRelease, "wednesday", 404},
		{"GET", "http://mirror.invalid/attic/" + atticRelease, "../x", 403},
		{"GET", "http://mirror.invalid/other/" + atticRelease, "", 403},
		{"GET", "http://mirror.invalid/attic/../x", "", 400},
		{"GET", "http://" + f.addr + "/apt/attic/" + atticRelease, "", 403},
		{"POST", f.URL + "/attic/" + atticRelease, "", 403},
		{"CONNECT", "mirror.invalid:443", "", 403},
	} {
		if got, body := proxy(t, f.addr, c.method, c.target, c.user); got != c.status {
			t.Errorf("%s %s as %q: %d %s, want %d", c.method, c.target, c.user, got, body, c.status)
		}
	}
}
