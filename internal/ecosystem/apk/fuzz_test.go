package apk

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func FuzzRepositories(f *testing.F) {
	f.Add("@edge http://m.invalid/alpine/edge/main\n# x\n", "/m.invalid/alpine/edge/main/x86_64/a.apk")
	f.Fuzz(func(t *testing.T, text, path string) {
		var list []Repository
		for _, u := range parseRepositories(text) {
			list = append(list, Repository{URL: u})
		}
		p, err := New(list, nil)
		if err != nil {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "http://recorder/", nil)
		r.URL = &url.URL{Path: path}
		it, err := p.Item(r)
		if err != nil {
			return
		}
		if u, err := url.Parse(it.Upstream); err != nil || strings.Contains(u.Path, "/../") {
			t.Fatalf("%q: %q, %v", path, it.Upstream, err)
		}
		if _, _, err := p.locate(it.Key); err != nil {
			t.Fatal(err)
		}
	})
}
