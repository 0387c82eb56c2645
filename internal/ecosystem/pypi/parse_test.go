package pypi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/net/html"

	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
)

func TestPaths(t *testing.T) {
	for path, want := range map[string]request{
		"/simple/tea/":                       {Project: "tea"},
		"/simple/Tea.Pot__x":                 {Project: "tea-pot-x"},
		"/files/tea/tea-1.0.tar.gz":          {Project: "tea", File: "tea-1.0.tar.gz"},
		"/files/tea/tea-1!1.0+cpu-x.whl":     {Project: "tea", File: "tea-1!1.0+cpu-x.whl"},
		"/files/tea/tea-1.0-x.whl.metadata":  {Project: "tea", File: "tea-1.0-x.whl", Metadata: true},
		"/files/Tea_Pot/Tea_Pot-1.0.ZIP":     {Project: "tea-pot", File: "Tea_Pot-1.0.ZIP"},
		"/files/tea/tea-1.0.tar.gz.metadata": {Project: "tea", File: "tea-1.0.tar.gz", Metadata: true},
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
		"", "/", "/simple/", "/simple", "/simple/../", "/simple/.tea/", "/simple/tea/x", "/simple/te a/", "/simple/tea#html/", "/simple/" + strings.Repeat("a", 300),
		"/files/tea/", "/files/tea", "/files/tea/..", "/files/../tea-1.0.zip", "/files/tea/tea", "/files/tea/tea.html", "/files/tea/../tea-1.0.zip",
		"/files/tea/.metadata", "/files/tea/tea-1.0.zip/x", "/files/tea/te\x00a.zip", "/files/tea/a\\b.zip", "/pypi/tea/json",
	} {
		if got, err := parsePath(bad); errs.KindOf(err) != errs.Invalid || err == nil {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

func TestWhatPipSays(t *testing.T) {
	for in, want := range map[string]string{
		"global.index-url='https://a.invalid/simple'\n":                                              "https://a.invalid/simple",
		":env:.index-url='https://e.invalid/s'\ninstall.index-url='x'\nglobal.index-url='y'\n":       "https://e.invalid/s",
		"install.index-url=\"https://i.invalid/s\"\nglobal.index-url='y'\n:env:.find-links='/opt'\n": "https://i.invalid/s",
		"global.cert='/etc'\nglobal.index-url=''\n":                                                  "",
	} {
		if c, err := parseConfig(strings.NewReader(in)); err != nil || c.Index != want {
			t.Errorf("%q: %+v, %v", in, c, err)
		}
	}
	for _, bad := range []string{"global.index-url='ftp://x/'", "global.index-url='simple'", "global.index-url='http://x/?q'"} {
		if c, err := parseConfig(strings.NewReader(bad)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %+v, %v", bad, c, err)
		}
	}
	const help = "  -i, --index-url <url>       Base URL of the index (default https://d.invalid/simple). This\n  --extra-index-url <url> (default http://x)"
	if c, err := parseHelp([]byte(help)); err != nil || c.Index != "https://d.invalid/simple" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := parseHelp([]byte("usage: pip")); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ base, address, at, want string }{
		{"", "../../p/tea-1.0.zip", "https://a.invalid/simple/tea/", "https://a.invalid/p/tea-1.0.zip"},
		{"/base/", "tea-1.0.zip", "https://a.invalid/simple/tea/", "https://a.invalid/base/tea-1.0.zip"},
		{"", "//b.invalid/tea-1.0%2Bcpu.zip?x=1", "https://a.invalid/simple/tea/", "https://b.invalid/tea-1.0%2Bcpu.zip?x=1"},
		{"", "http://b.invalid/tea-1.0.zip", "http://a.invalid/simple/tea/", "http://b.invalid/tea-1.0.zip"},
		{"", "http://b.invalid/tea-1.0.zip", "https://a.invalid/simple/tea/", ""},
		{"", "ftp://b.invalid/tea-1.0.zip", "http://a.invalid/simple/tea/", ""},
		{"javascript:", "tea-1.0.zip", "http://a.invalid/simple/tea/", ""},
	} {
		u, err := (&project{base: c.base}).resolve(file{address: c.address}, c.at)
		if c.want == "" && errs.KindOf(err) != errs.Untrusted || c.want != "" && (err != nil || u.String() != c.want) {
			t.Errorf("%+v: %v, %v", c, u, err)
		}
	}
}

func TestLinksAreReplacedAndNothingElse(t *testing.T) {
	to := func(s string) string { return strings.Replace(s, "http://a/", "http://b/", 1) }
	for in, want := range map[string]string{
		`<A HREF='http://a/x' data-yanked="a &gt; b">x</a>`:     `<a href="http://b/x" data-yanked="a &gt; b">x</a>`,
		`<a data-x href="http://c/x">x</A >`:                    `<a data-x href="http://c/x">x</A >`,
		`<!-- <a href="http://a/x"> --><link href="http://a/">`: `<!-- <a href="http://a/x"> --><link href="http://a/">`,
		`<script><a href="http://a/x"></script>`:                `<script><a href="http://a/x"></script>`,
		`<a href="http://a/?x=1&amp;y=2">`:                      `<a href="http://b/?x=1&amp;y=2">`,
		`<a href="http://a/`:                                    `<a href="http://a/`,
		``:                                                      ``,
	} {
		got, err := io.ReadAll(links(iotest.OneByteReader(strings.NewReader(in)), to))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

func FuzzLinks(f *testing.F) {
	f.Add([]byte(`<!DOCTYPE html><a href="http://a/x#sha256=0" data-yanked="">x</a><script>a<b</script><a href='y'`))
	f.Fuzz(func(t *testing.T, b []byte) {
		same, err := io.ReadAll(links(bytes.NewReader(b), func(s string) string { return s }))
		if err != nil || !bytes.Equal(same, b) {
			t.Fatalf("%q became %q: %v", b, same, err)
		}
		got, err := io.ReadAll(links(bytes.NewReader(b), func(string) string { return "new" }))
		if err != nil {
			t.Fatal(err)
		}
		for _, address := range hrefs(t, got) {
			if address != "new" {
				t.Fatalf("%q became %q: %q stays", b, got, address)
			}
		}
	})
}

// hrefs returns the addresses that the library's tokenizer sees.
func hrefs(t *testing.T, b []byte) (list []string) {
	z := html.NewTokenizer(bytes.NewReader(b))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return list
		case html.StartTagToken, html.SelfClosingTagToken:
			if tag, a := attributes(z); tag == "a" {
				if s, ok := a["href"]; ok {
					list = append(list, s)
				}
			}
		}
	}
}

func FuzzProject(f *testing.F) {
	f.Add([]byte(`{"meta":{"api-version":"1.0"},"name":"tea","files":[{"url":"../tea-1.0.zip","hashes":{"sha256":"00"},"core-metadata":{"sha256":"00"}}]}`))
	f.Add([]byte(`<base href="/x/"><meta name="pypi:repository-version" content="1.0"><a href="tea-1.0.zip#sha256=00&amp;egg=x" data-core-metadata="true">`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readProject(bytes.NewReader(b), "tea")
		if err != nil {
			if errs.KindOf(err) != errs.Untrusted {
				t.Fatal(err)
			}
			return
		}
		for name, file := range p.files {
			if !isArchive(name) {
				t.Fatalf("%q", name)
			}
			u, err := p.resolve(file, "https://a.invalid/simple/tea/")
			if err == nil && (u.Host == "" || u.Fragment != "" || u.Scheme != "https" && file.hashes.strongest() == "") {
				t.Fatalf("%q is at %v", name, u)
			}
		}
		// What is served is read as the same files, all of them at our address.
		body, _, err := Machine(nil).Serve(record.Item{Key: "tea"}, lockfile.Entry{}, bytes.NewReader(b), "http://r/pypi")
		if err != nil {
			t.Fatal(err)
		}
		served, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if json.Valid(b) && !json.Valid(served) {
			t.Fatalf("%q became %q", b, served)
		}
	})
}

func FuzzPath(f *testing.F) {
	p, err := New(Config{"http://a.invalid/simple"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("/simple/tea/")
	f.Add("/files/tea/tea-1.0-x.whl.metadata")
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "http://r/", nil)
		r.URL.Path = path
		it, err := p.Item(r)
		if err != nil {
			return
		}
		q, err := parseKey(it.Key)
		if want, _ := parsePath(path); err != nil || q.Project != want.Project || q.File != want.File || q.Metadata != want.Metadata {
			t.Fatalf("key %q is %+v, want %+v: %v", it.Key, q, want, err)
		}
		if q.File != "" {
			return
		}
		it, err = p.Locate(context.Background(), it, nil)
		if err != nil || it.Upstream != "http://a.invalid/simple/"+q.Project+"/" || it.Limit <= 0 {
			t.Fatalf("%+v, %v", it, err)
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("global.index-url='https://a.invalid/simple'\n"))
	f.Add([]byte("  -i, --index-url <url>  Base (default https://d.invalid/simple)."))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConfig(bytes.NewReader(b))
		d, err2 := parseHelp(b)
		for _, c := range []Config{c, d} {
			if c.Index != "" && err == nil && err2 == nil && !strings.HasPrefix(c.page("tea").String(), "http") {
				t.Fatal(c)
			}
		}
	})
}

func TestPromises(t *testing.T) {
	if p := parseFragment("egg=tea&sha256=AB"); !reflect.DeepEqual(p, promise{"egg": "tea", "sha256": "AB"}) || p.strongest() != "sha256" {
		t.Errorf("%+v", p)
	}
	body := func() io.Reader { return strings.NewReader("x") }
	const sum = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	for _, c := range []struct {
		p    promise
		kind string
		bad  bool
	}{
		{promise{"sha256": strings.ToUpper(sum)}, ProofFile, false},
		{promise{"sha256": sum, "sha512": "00"}, "", true}, // the strongest one counts
		{promise{"sha256": ""}, "", false},
		{promise{"md5": "00"}, "", false},
		{promise{"sha256": "0"}, "", true},
	} {
		got, err := c.p.prove(body())
		if got.Kind != c.kind || c.bad != (errs.KindOf(err) == errs.Untrusted && err != nil) {
			t.Errorf("%v: %+v, %v", c.p, got, err)
		}
	}
}
