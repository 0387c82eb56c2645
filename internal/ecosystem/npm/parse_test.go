package npm

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"overland/internal/errs"
)

func TestPaths(t *testing.T) {
	for path, want := range map[string]request{
		"/tea":                         {Name: "tea"},
		"/@leaf/tea":                   {Name: "@leaf/tea"},
		"/tea/latest":                  {Name: "tea", Version: "latest"},
		"/tea/1.0.0-rc.1+b":            {Name: "tea", Version: "1.0.0-rc.1+b"},
		"/@leaf/tea/1.0.0":             {Name: "@leaf/tea", Version: "1.0.0"},
		"/@leaf/tea/-/tea-1.0.0.tgz":   {Name: "@leaf/tea", File: "tea-1.0.0.tgz"},
		"/JSONStream/-/JSONStream.tgz": {Name: "JSONStream", File: "JSONStream.tgz"},
	} {
		if got, err := parsePath(path); err != nil || got != want {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	for _, bad := range []string{
		"", "/", "/..", "/.tea", "/@leaf", "/@/tea", "/@leaf/..", "/tea/-/..", "/tea/-/x.tar", "/tea/-/a/b.tgz", "/-/v1/search", "/tea#install",
		"/tea/1/2", "/" + strings.Repeat("a", 300), "/tea/../x", "/te\x00a", "/tea//", "/a b",
	} {
		if got, err := parsePath(bad); errs.KindOf(err) != errs.Invalid || err == nil {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

func TestScopesHaveRegistriesOfTheirOwn(t *testing.T) {
	c, _, err := parseConfig(strings.NewReader(`{"registry":"https://a.invalid/","@leaf:registry":"http://b.invalid/npm","x":1,"_auth":null}`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/tea":                       "https://a.invalid/tea",
		"/@other%2ftea":              "https://a.invalid/@other%2ftea",
		"/@leaf%2ftea":               "http://b.invalid/npm/@leaf%2ftea",
		"/@leaf/tea/-/tea-1.0.0.tgz": "http://b.invalid/npm/@leaf/tea/-/tea-1.0.0.tgz",
	} {
		it, err := p.Item(httptest.NewRequest(http.MethodGet, "http://r"+path, nil))
		if err != nil || it.Upstream != want {
			t.Errorf("%s: %+v, %v", path, it, err)
		}
	}
	if env := strings.Join(p.Env("http://r"), "\n"); strings.Contains(env, "registry") || strings.Contains(env, "noproxy") {
		t.Errorf("%q", env)
	}
	asked := func(p *Protocol) (own []string) {
		for _, at := range p.addresses(t.Context(), nil, nil) {
			for _, path := range []string{"/tea", "/@other%2ftea", "/@leaf%2ftea", "/tea/-/tea-1.0.0.tgz?x=1"} {
				r := httptest.NewRequest(http.MethodGet, "http://r"+path, nil)
				r.Header.Set("Authorization", "Bearer mine")
				if it, err := at.Protocol.Item(r); err == nil {
					own = append(own, at.Base+" "+it.Key+" "+it.Header.Get("Authorization"))
				} else if errs.KindOf(err) != errs.Invalid {
					t.Error(err)
				}
			}
		}
		return own
	}
	want := []string{"http://b.invalid/npm/ @leaf/tea Bearer mine", "https://a.invalid/ tea Bearer mine", "https://a.invalid/ @other/tea Bearer mine"}
	if own := asked(p); !slices.Equal(own, want) {
		t.Errorf("got %q, want %q", own, want)
	}
	if p, err = New(Config{Registry: "https://me:word@A.invalid:443", Scopes: map[string]string{"@leaf": "http://b.invalid:80/npm/"}}, nil); err != nil {
		t.Fatal(err)
	}
	if own := asked(p); !slices.Equal(own, want) { // as a proxy sees it
		t.Errorf("got %q, want %q", own, want)
	}
	if rc := string(p.config.rc()); rc != "@leaf:registry=http://b.invalid/npm/\nregistry=https://a.invalid/\n" {
		t.Errorf("%q", rc)
	}
	if p, err = New(Config{Registry: "http://127.0.0.1:4873"}, nil); err != nil || !slices.Contains(p.Env("http://r"), "npm_config_noproxy=none.invalid") {
		t.Errorf("one that needs no proxy: %q, %v", p.Env("http://r"), err)
	}
	for _, bad := range []string{`{}`, `{"registry":"ftp://x"}`, `{"registry":"https://x","@l:registry":"x"}`, `[`} {
		if _, _, err := parseConfig(strings.NewReader(bad)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := p.Item(httptest.NewRequest(http.MethodPost, "http://r/-/npm/v1/security/advisories/bulk", nil)); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"name":"tea","versions":{"1.0.0":{"name":"tea","version":"1.0.0","dist":{"integrity":"sha512-AA==","shasum":"00"}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := readDocument(bytes.NewReader(b), "tea")
		if err != nil {
			if errs.KindOf(err) != errs.Untrusted {
				t.Fatal(err)
			}
			return
		}
		for v, m := range d.Versions {
			if m.Name != "tea" || m.Version != v {
				t.Fatalf("%s: %+v", v, m)
			}
			if text, err := m.Dist.proof(strings.NewReader("a tarball")); err == nil && !strings.Contains(text, "-") {
				t.Fatal(text)
			}
		}
	})
}

func FuzzPath(f *testing.F) {
	p, err := New(Config{Registry: "http://a.invalid/reg"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("/@leaf/tea/-/tea-1.0.0.tgz")
	f.Add("/tea/1.0.0")
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "http://r/", nil)
		r.URL.Path = path
		it, err := p.Item(r)
		if err != nil {
			return
		}
		q, err := parsePath(strings.TrimSuffix(it.Key, shortMark))
		if want, _ := parsePath(path); err != nil || q != want {
			t.Fatalf("key %q is %+v, want %+v: %v", it.Key, q, want, err)
		}
		if !strings.HasPrefix(it.Upstream, "http://a.invalid/reg/") || strings.Contains(it.Upstream, "/../") || it.Limit <= 0 {
			t.Fatalf("%+v", it)
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"registry":"https://a.invalid/","@leaf:registry":"http://b.invalid/npm"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, _, err := parseConfig(bytes.NewReader(b)); err == nil && !strings.HasPrefix(c.registry(request{Name: "tea"}), "http") {
			t.Fatal(c)
		}
	})
}
