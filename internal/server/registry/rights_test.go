package registry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"overland/internal/auth"
	"overland/internal/digest"
	domain "overland/internal/registry"
	"overland/internal/server/registry"
)

// Each request needs the one right that it is about, whatever else its account may.
func TestEachRequestNeedsItsRight(t *testing.T) {
	b := newBench(t, domain.Options{Delete: true})
	boss := "boss:" + b.account(t, "boss", auth.Grant{Action: auth.Push, Pattern: "own/a"}, auth.Grant{Action: auth.Delete, Pattern: "own/a"})
	logins := map[auth.Action]string{}
	for _, a := range []auth.Action{auth.Pull, auth.Push, auth.Delete} {
		logins[a] = string(a) + ":" + b.account(t, string(a), auth.Grant{Action: a, Pattern: "own/a"})
	}
	other := "other:" + b.account(t, "other", auth.Grant{Action: auth.Push, Pattern: "own/b"}, auth.Grant{Action: auth.Delete, Pattern: "own/b"})
	blob := b.push(t, boss, "own/a", "{}")
	m := manifest(blob, "")
	at := string(digest.Of([]byte(m)))
	for _, c := range []struct {
		method, path string
		needs        auth.Action
	}{
		{"GET", "blobs/" + blob, auth.Pull},
		{"HEAD", "blobs/" + blob, auth.Pull},
		{"GET", "manifests/v1", auth.Pull},
		{"HEAD", "manifests/" + at, auth.Pull},
		{"GET", "tags/list", auth.Pull},
		{"GET", "referrers/" + at, auth.Pull},
		{"POST", "blobs/uploads/", auth.Push},
		{"PATCH", "blobs/uploads/x", auth.Push},
		{"PUT", "blobs/uploads/x", auth.Push},
		{"GET", "blobs/uploads/x", auth.Push},
		{"DELETE", "blobs/uploads/x", auth.Push},
		{"PUT", "manifests/v1", auth.Push},
		{"DELETE", "manifests/v1", auth.Delete},
		{"DELETE", "manifests/" + at, auth.Delete},
		{"DELETE", "blobs/" + blob, auth.Delete},
	} {
		refused := func(login string) bool {
			b.do(t, "PUT", "/v2/own/a/manifests/v1", boss, m, "Content-Type", manifestType)
			got := b.do(t, c.method, "/v2/own/a/"+c.path, login, "")
			return got.status == http.StatusForbidden || got.status == http.StatusUnauthorized
		}
		for action, login := range logins {
			may := action == c.needs || c.needs == auth.Pull
			if refused(login) == may {
				t.Errorf("%s %s with the right to %s: refused %v", c.method, c.path, action, may)
			}
		}
		if !refused(other) || !refused("") {
			t.Errorf("%s %s: with a right to another repository, or none: not refused", c.method, c.path)
		}
	}
}

// A client's certificate is a login, by its key; one that is not known is nobody's.
func TestACertificateIsALogin(t *testing.T) {
	b := newBench(t, domain.Options{})
	d := b.push(t, "boss:"+b.account(t, "boss", auth.Grant{Action: auth.Push, Pattern: "**"}), "own/a", "x")
	for name, want := range map[string]int{"ann": http.StatusOK, "": http.StatusUnauthorized} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err == nil && name != "" {
			err = b.accounts.MakeKnownBy(t.Context(), name, leaf, []auth.Grant{{Action: auth.Pull, Pattern: "own/a"}}, time.Time{})
		}
		if err != nil {
			t.Fatal(err)
		}
		shows := *b
		transport := b.client.Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
		defer transport.CloseIdleConnections()
		shows.client = &http.Client{Transport: transport}
		if got := shows.do(t, "GET", "/v2/own/a/blobs/"+d, "", ""); got.status != want {
			t.Errorf("the certificate of %q: %d, want %d", name, got.status, want)
		}
		if got := shows.do(t, "GET", "/v2/own/a/blobs/"+d, "boss:wrong", ""); got.status != http.StatusUnauthorized {
			t.Errorf("with a wrong login beside it: %d", got.status)
		}
	}
}

// Where no login is taken, as over plain HTTP, one that is sent is refused, and everybody may what everybody may.
func TestNoLoginIsTakenOverPlainHTTP(t *testing.T) {
	b := newBench(t, domain.Options{})
	token := b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	public, own := b.push(t, "ann:"+token, "public/a", "x"), b.push(t, "ann:"+token, "own/a", "y")
	s := httptest.NewServer(registry.New(b.registry, registry.Options{Anyone: []auth.Grant{{Action: auth.Pull, Pattern: "public/**"}}}))
	t.Cleanup(s.Close)
	plain := &bench{url: s.URL, client: s.Client()}
	for _, c := range []struct {
		method, path, login string
		want                int
	}{
		{"GET", "/v2/", "", http.StatusOK},
		{"GET", "/v2/public/a/blobs/" + public, "", http.StatusOK},
		{"GET", "/v2/own/a/blobs/" + own, "", http.StatusForbidden},
		{"GET", "/v2/public/a/blobs/" + public, "ann:" + token, http.StatusForbidden},
		{"GET", "/v2/own/a/blobs/" + own, "ann:" + token, http.StatusForbidden},
		{"POST", "/v2/public/a/blobs/uploads/", "", http.StatusForbidden},
		{"GET", "/v2/token", "", http.StatusNotFound},
	} {
		got := plain.do(t, c.method, c.path, c.login, "")
		if got.status != c.want || got.header.Get("Www-Authenticate") != "" {
			t.Errorf("%s %s as %.3q: %d, want %d: %s", c.method, c.path, c.login, got.status, c.want, got.body)
		}
	}
}

// A pass is nobody's to keep, and only a login that holds is changed for one.
func TestHowAPassIsGiven(t *testing.T) {
	b := newBench(t, domain.Options{})
	token := b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	if got := b.do(t, "GET", "/v2/token", "ann:"+token, ""); got.status != http.StatusOK || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d, %v", got.status, got.header)
	}
	form := url.Values{"grant_type": {"password"}, "username": {"ann"}, "password": {token}}
	for what, c := range map[string]struct {
		name, value string
		want        int
	}{
		"what it is": {"service", "overland", http.StatusOK}, "another grant": {"grant_type", "refresh_token", http.StatusBadRequest},
		"another name": {"username", "bob", http.StatusUnauthorized}, "a wrong login": {"password", "x", http.StatusUnauthorized},
		"too long": {"x", strings.Repeat("x", 9<<10), http.StatusBadRequest},
	} {
		q := url.Values{}
		for k, v := range form {
			q[k] = v
		}
		q.Set(c.name, c.value)
		if got := b.do(t, "POST", "/v2/token", "", q.Encode()); got.status != c.want {
			t.Errorf("%s: %d, want %d: %s", what, got.status, c.want, got.body)
		}
	}
}

// What a client asks for has limits, and means one thing.
func TestWhatIsAskedForHasLimits(t *testing.T) {
	b := newBench(t, domain.Options{})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	d := b.push(t, ann, "public/a", "hello, world")
	b.push(t, ann, "public/a", "{}")
	m := manifest(d, `"subject":{"mediaType":"x/y","digest":"`+d+`","size":1},`)
	tags := func(n int) string {
		q := url.Values{}
		for i := range n {
			q.Add("tag", fmt.Sprint("t", i))
		}
		return q.Encode()
	}
	at := string(digest.Of([]byte(m)))
	for n, want := range map[int]int{64: http.StatusCreated, 65: http.StatusBadRequest} {
		if got := b.do(t, "PUT", "/v2/public/a/manifests/"+at+"?"+tags(n), ann, m, "Content-Type", manifestType); got.status != want {
			t.Errorf("%d tags: %d %s", n, got.status, got.body)
		}
	}
	upload := b.do(t, "POST", "/v2/public/a/blobs/uploads/", ann, "").header.Get("Location")
	for text, want := range map[string]int{"0-5": http.StatusBadRequest, "3-0": http.StatusBadRequest, "0": http.StatusBadRequest, "0-2": http.StatusAccepted} {
		if got := b.do(t, "PATCH", upload, ann, "abc", "Content-Range", text); got.status != want {
			t.Errorf("3 bytes as %s: %d %s", text, got.status, got.body)
		}
	}
	if got := b.do(t, "GET", "/v2/public/a/blobs/"+d, "", "", "Range", "bytes=0-0,3-3,5-5"); got.status != http.StatusOK || got.body != "hello, world" {
		t.Errorf("three ranges: %d %q", got.status, got.body)
	}
	if got := b.do(t, "GET", "/v2/public/a/blobs/"+d, "", "", "Range", "bytes=7-"); got.status != http.StatusPartialContent || got.body != "world" {
		t.Errorf("one range: %d %q", got.status, got.body)
	}
	for text, want := range map[string]int{"": 1000, "0": 0, "7": 7, "1000": 1000, "5000": 1000, "-1": -1, "x": -1} {
		if got, err := registry.Limit(url.Values{"n": {text}}); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("n=%s: %d, %v", text, got, err)
		}
	}
	for kind, want := range map[string]int{"": 1, "application/vnd.oci.image.config.v1+json": 1, "x/y": 0} {
		got := b.do(t, "GET", "/v2/public/a/referrers/"+d+"?artifactType="+url.QueryEscape(kind), "", "")
		var index struct{ Manifests []any }
		if err := json.Unmarshal([]byte(got.body), &index); err != nil || len(index.Manifests) != want || (got.header.Get("Oci-Filters-Applied") != "") != (kind != "") {
			t.Errorf("referrers of the type %q: %s, %v", kind, got.body, got.header)
		}
	}
}

// Whoever may push, and asks whether a blob is there, finds it there a day later; others keep nothing.
func TestWhoKeepsABlobByAsking(t *testing.T) {
	now := time.Now()
	b := newBench(t, domain.Options{Now: func() time.Time { return now }})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	mine, theirs := b.push(t, ann, "public/a", "x"), b.push(t, ann, "public/a", "y")
	now = now.Add(25 * time.Hour)
	for _, c := range []struct{ method, login, blob string }{{"HEAD", ann, mine}, {"GET", ann, theirs}, {"HEAD", "", theirs}} {
		if got := b.do(t, c.method, "/v2/public/a/blobs/"+c.blob, c.login, ""); got.status != http.StatusOK {
			t.Errorf("%s: %d", c.method, got.status)
		}
	}
	if err := b.registry.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for blob, want := range map[string]int{mine: http.StatusOK, theirs: http.StatusNotFound} {
		if got := b.do(t, "GET", "/v2/public/a/blobs/"+blob, "", ""); got.status != want {
			t.Errorf("%s: %d, want %d", blob, got.status, want)
		}
	}
}
