package apt_test

import (
	"context"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"overland/internal/ecosystem/apt"
	"overland/internal/errs"
	"overland/internal/record"
)

func TestResolve(t *testing.T) {
	s := newSession(t)
	lookup := func(ctx context.Context, key string) (io.ReadCloser, error) {
		b := s.get(strings.TrimPrefix(key, "archive/"))
		if b == nil {
			return nil, errs.Errorf(errs.NotFound, "%s", key)
		}
		return io.NopCloser(strings.NewReader(string(b))), nil
	}
	base := s.protocol.Archives()["archive"]
	hash := "dists/calm/main/binary-amd64/by-hash/SHA256/" + hexSum(s.get(indexPath))
	item := func(key string, mutable bool) record.Item {
		return record.Item{Protocol: "apt", Key: "archive/" + key, Upstream: base + "/" + key, Mutable: mutable}
	}
	for _, c := range []struct {
		it            record.Item
		key, upstream string
		mutable       bool
	}{
		{item(indexPath, true), "archive/" + hash, base + "/" + hash, false},
		{item("dists/calm/InRelease", true), "archive/dists/calm/InRelease", base + "/dists/calm/InRelease", true},
		{item("dists/calm/main/none", true), "archive/dists/calm/main/none", base + "/dists/calm/main/none", true},
		{item(debPath, false), "archive/" + debPath, base + "/" + debPath, false},
	} {
		got, err := s.protocol.Resolve(t.Context(), c.it, lookup)
		if err != nil || got.Key != c.key || got.Upstream != c.upstream || got.Mutable != c.mutable || !c.mutable && c.it.Mutable && got.Fallback[0] != c.it.Upstream {
			t.Errorf("%s: %+v, %v", c.it.Key, got, err)
		}
	}
	keys, err := s.protocol.Binds(t.Context(), "archive/dists/calm/InRelease", lookup)
	if err != nil || !slices.Equal(keys, []string{"archive/" + hash}) {
		t.Errorf("%v, %v", keys, err)
	}
	for _, key := range []string{"archive/" + hash, "gone/dists/calm/InRelease"} {
		if keys, err := s.protocol.Binds(t.Context(), key, lookup); err != nil || keys != nil {
			t.Errorf("%s: %v, %v", key, keys, err)
		}
	}
}

func TestBelow(t *testing.T) {
	var list []apt.Source
	for _, u := range []string{"http://a.invalid/debian", "http://a.invalid/debian-security", "https://b.invalid", "http://c.invalid/x", "http://d.invalid/x"} {
		list = append(list, apt.Source{Types: []string{"deb"}, URIs: []string{u}, Suites: []string{"calm"}, Components: []string{"main"}})
	}
	p, err := apt.New(list, apt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for u, want := range map[string]string{
		"http://a.invalid/debian/pool/x.deb":         "/debian/pool/x.deb",
		"http://m.invalid/debian-security/dists/x/y": "/debian-security/dists/x/y",
		"http://b.invalid/pool/x.deb":                "/b.invalid/pool/x.deb",
		"http://d.invalid/x/pool/x.deb":              "/d.invalid-x/pool/x.deb",
		"http://m.invalid/x/pool/x.deb":              "", // of c or of d?
		"http://m.invalid/pool/x.deb":                "",
		"http://m.invalid/debian":                    "",
	} {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Below(parsed); got != want {
			t.Errorf("%s: %q, want %q", u, got, want)
		}
	}
}

func TestRedirect(t *testing.T) {
	some := []apt.Source{{URIs: []string{"http://a.invalid/debian/", "http://a.invalid/other"}, Suites: []string{"calm"}}}
	got, err := apt.Redirect(some, "https://m.invalid/debian")
	if err != nil || !slices.Equal(got[0].URIs, []string{"https://m.invalid/debian", "http://a.invalid/other"}) || some[0].URIs[0] != "http://a.invalid/debian/" {
		t.Errorf("%v, %v, was %v", got, err, some)
	}
	for _, u := range []string{"http://m.invalid/ubuntu", "m.invalid/debian", "ftp://m.invalid/debian", ""} {
		if _, err := apt.Redirect(some, u); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// A source by http and one by https of the same host and path are one archive.
func TestHTTPAndHTTPSAreOneArchive(t *testing.T) {
	p, err := apt.New([]apt.Source{
		{Types: []string{"deb"}, URIs: []string{"http://a.invalid/debian"}, Suites: []string{"calm"}, Components: []string{"main"}},
		{Types: []string{"deb-src"}, URIs: []string{"https://a.invalid/debian/", "http://a.invalid/debian"}, Suites: []string{"calm"}, Components: []string{"main"}},
	}, apt.Options{})
	if err != nil || len(p.Archives()) != 1 || !strings.HasPrefix(p.Archives()["debian"], "http:") {
		t.Fatalf("%+v, %v", p, err)
	}
	if got := p.Sources(); strings.Count(got, "http://a.invalid/debian") != 2 || strings.Count(got, "https://a.invalid/debian") != 1 {
		t.Error(got)
	}
}
