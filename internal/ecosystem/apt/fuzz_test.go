package apt

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func FuzzSources(f *testing.F) {
	f.Add([]byte("deb [arch=a,b signed-by=/k] http://h/x s c # d\n"), false)
	f.Add([]byte("Types: deb\nURIs: http://h/x\nSuites: s\nComponents: c\nSigned-By:\n a\n .\n b\n"), true)
	f.Fuzz(func(t *testing.T, b []byte, deb822 bool) {
		parse := parseList
		if deb822 {
			parse = parseDeb822
		}
		some, err := parse(b)
		if err != nil {
			return
		}
		p, err := New(some, Options{})
		if err != nil {
			return
		}
		if _, err := parseDeb822([]byte(p.Sources())); err != nil {
			t.Fatalf("what Sources wrote: %v\n%s", err, p.Sources())
		}
	})
}

func FuzzPath(f *testing.F) {
	p, err := New([]Source{
		{Types: []string{"deb"}, URIs: []string{"http://a.invalid/debian"}, Suites: []string{"calm", "./"}, Components: []string{"main"}},
	}, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("/debian/dists/calm/main/by-hash/SHA256/" + strings.Repeat("0", 64))
	f.Add("/debian/./pool//x%2f..%3a.deb")
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "http://r/", nil)
		r.URL.Path = path
		it, err := p.Item(r)
		if err != nil {
			return
		}
		for _, e := range strings.Split(it.Key, "/") {
			if e == "" || e == "." || e == ".." {
				t.Fatalf("key %q", it.Key)
			}
		}
		if !strings.HasPrefix(it.Upstream, "http://a.invalid/debian/") || it.Limit <= 0 {
			t.Fatalf("%+v", it)
		}
	})
}
