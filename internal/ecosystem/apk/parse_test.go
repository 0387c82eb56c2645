package apk_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/ecosystem/apk"
	"overland/internal/errs"
)

func TestMachineRepositories(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "repositories.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"repositories": "# first\nhttp://m.invalid/alpine/v3.20/main\n@edge https://m.invalid/alpine/edge/main \n/media/cdrom/apks\n" +
			"#http://m.invalid/alpine/v3.20/community\n\ncdrom://x y z\n",
		"repositories.d/more.list": "http://m.invalid/more\n",
		"repositories.d/not.txt":   "http://m.invalid/not\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	keys := filepath.Join(dir, "keys")
	want := []apk.Repository{{"http://m.invalid/alpine/v3.20/main", keys}, {"https://m.invalid/alpine/edge/main", keys}, {"http://m.invalid/more", keys}}
	got, err := apk.MachineRepositories(dir)
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
	if got, err := apk.MachineRepositories(t.TempDir()); err != nil || len(got) != 0 {
		t.Errorf("a machine without any: %v, %v", got, err)
	}
}

func TestParseRepository(t *testing.T) {
	for s, want := range map[string]apk.Repository{
		"http://m.invalid/alpine":              {"http://m.invalid/alpine", ""},
		"[keys=/etc/k] https://m.invalid/x/y/": {"https://m.invalid/x/y/", "/etc/k"},
	} {
		if got, err := apk.ParseRepository(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "m.invalid/x", "ftp://m.invalid/x", "http://m.invalid/?q", "[keys=k] http://m.invalid/x", "[keys=/k http://m.invalid/x", "[x] http://m.invalid"} {
		if _, err := apk.ParseRepository(s); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestNamesOfRepositories(t *testing.T) {
	var list []apk.Repository
	for _, u := range []string{
		"http://a.invalid/alpine/v3.20/main", "http://a.invalid/alpine/v3.20/main/", "http://a.invalid/alpine/v3.20/community",
		"http://a.invalid", "http://a.invalid/two", "https://b.invalid/two",
	} {
		list = append(list, apk.Repository{URL: u})
	}
	p, err := apk.New(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{ // "" = refused
		"/alpine-v3.20-main/x86_64/APKINDEX.tar.gz":            "alpine-v3.20-main/x86_64/APKINDEX.tar.gz http://a.invalid/alpine/v3.20/main/x86_64/APKINDEX.tar.gz",
		"/a.invalid/alpine/v3.20/main/x86_64/g++-1~2_p-r0.apk": "alpine-v3.20-main/x86_64/g++-1~2_p-r0.apk http://a.invalid/alpine/v3.20/main/x86_64/g++-1~2_p-r0.apk",
		"/other.invalid/alpine/v3.20/community/x86/a b.apk":    "alpine-v3.20-community/x86/a b.apk http://a.invalid/alpine/v3.20/community/x86/a%20b.apk",
		"/b.invalid/two/x86/a.apk":                             "b.invalid-two/x86/a.apk https://b.invalid/two/x86/a.apk",
		"/a.invalid/x86/a.apk":                                 "a.invalid/x86/a.apk http://a.invalid/x86/a.apk",
		"/other.invalid/two/x86/a.apk":                         "", // which of the two?
		"/other.invalid/x86/a.apk":                             "",
		"/alpine-v3.20-main/x86_64/../a.apk":                   "",
		"/alpine-v3.20-main//a.apk":                            "",
		"/alpine-v3.20-main/x86_64/a.txt":                      "",
		"/alpine-v3.20-main/a.apk":                             "",
		"/alpine-v3.20-main":                                   "",
		"/":                                                    "",
	} {
		r := httptest.NewRequest(http.MethodGet, "http://recorder/", nil)
		r.URL = &url.URL{Path: path}
		it, err := p.Item(r)
		if want == "" {
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("%s: %v, %v", path, it, err)
			}
		} else if got := it.Key + " " + it.Upstream; err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", path, got, err, want)
		}
	}
}
