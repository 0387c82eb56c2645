package cargo

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/errs"
)

func TestPaths(t *testing.T) {
	for path, want := range map[string]request{
		"/config.json":                       {},
		"/1/a":                               {Name: "a"},
		"/2/ab":                              {Name: "ab"},
		"/3/a/abc":                           {Name: "abc"},
		"/te/a-/tea-pot":                     {Name: "tea-pot"},
		"/co/nf/config":                      {Name: "config"},
		"/crates/Tea/Tea-1.0.0-rc.1+b.crate": {Name: "Tea", Version: "1.0.0-rc.1+b"},
		"/crates/tea-1/tea-1-1.0.0.crate":    {Name: "tea-1", Version: "1.0.0"},
	} {
		got, err := parsePath(path)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
		if again, err := parseKey(got.key()); err != nil || again != got {
			t.Errorf("%s: key %q is %+v, %v", path, got.key(), again, err)
		}
	}
	for _, bad := range []string{
		"", "/", "/..", "/tea", "/te/a/tea", "/te/a-/Tea-pot", "/te/am/tea-milk", "/3/b/abc", "/1/ab", "/../../tea", "/te/a./tea.pot", "/te/a\x00/tea\x00",
		"/crates/tea/tea-.crate", "/crates/tea/milk-1.0.0.crate", "/crates/tea/tea-1.0.0", "/crates/../..-1.0.0.crate", "/crates/tea/tea-../x.crate",
		"/crates/tea/tea-1/0.crate", "/crates/tea.x/tea.x-1.crate", "/api/v1/crates", "/te/" + strings.Repeat("a", 100), "//config.json",
	} {
		if got, err := parsePath(bad); errs.KindOf(err) != errs.Invalid || err == nil {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

func TestWhereCratesAre(t *testing.T) {
	q := request{Name: "Tea-Pot", Version: "1.0.0"}
	for dl, want := range map[string]string{
		"https://a.invalid/api/v1/crates":                           "https://a.invalid/api/v1/crates/Tea-Pot/1.0.0/download",
		"https://a.invalid/{crate}/{crate}-{version}.crate":         "https://a.invalid/Tea-Pot/Tea-Pot-1.0.0.crate",
		"http://a.invalid/{prefix}/{lowerprefix}/{sha256-checksum}": "http://a.invalid/Te/a-/te/a-/SUM",
		"ftp://a.invalid/{crate}":                                   "",
		"/{crate}":                                                  "",
		"":                                                          "",
	} {
		got, err := config{DL: dl}.crate(q, "SUM")
		if got != want || want == "" && errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %s, %v", dl, got, err)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"name":"Tea","vers":"1.0.0","deps":[],"cksum":"` + strings.Repeat("0a", 32) + `","features":{},"yanked":false}` + "\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := readIndex(bytes.NewReader(b), "tea")
		if err != nil {
			if errs.KindOf(err) != errs.Untrusted {
				t.Fatal(err)
			}
			return
		}
		for _, sum := range x {
			if len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
				t.Fatalf("%q", x)
			}
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"dl":"https://a.invalid/{prefix}/{crate}/{version}","api":"https://a.invalid"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := readConfig(bytes.NewReader(b))
		if err != nil {
			return
		}
		address, err := c.crate(request{Name: "tea", Version: "1.0.0"}, "")
		if err != nil || !strings.HasPrefix(strings.ToLower(address), "http") {
			t.Fatalf("%q, %v", address, err)
		}
	})
}

func FuzzPath(f *testing.F) {
	p, err := New("http://a.invalid/index/", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("/config.json")
	f.Add("/te/a-/tea-pot")
	f.Add("/crates/Tea/Tea-1.0.0+x.crate")
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "http://r/", nil)
		r.URL.Path = path
		it, err := p.Item(r)
		if err != nil {
			return
		}
		q, err := parseKey(it.Key)
		if want, _ := parsePath(path); err != nil || q != want {
			t.Fatalf("key %q is %+v, want %+v: %v", it.Key, q, want, err)
		}
		if q.Version != "" {
			return
		}
		it, err = p.Locate(t.Context(), it, nil)
		if err != nil || it.Upstream != "http://a.invalid/index/"+strings.TrimPrefix(path, "/") || it.Limit <= 0 || strings.Contains(it.Upstream, "..") {
			t.Fatalf("%+v, %v", it, err)
		}
	})
}
