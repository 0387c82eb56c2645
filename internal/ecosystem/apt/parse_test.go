package apt_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/ecosystem/apt"
	"overland/internal/errs"
	"overland/internal/record"
	"overland/internal/testkit/pack"
)

// holding returns a Lookup that has b under every key.
func holding(b []byte) record.Lookup {
	return func(context.Context, string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

func TestBothFormatsOfSourcesAreRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("sources.list", "# ours\ndeb [arch=amd64,arm64 signed-by=/k/a.gpg check-valid-until=no] http://a.invalid/debian/ calm main extra # so\n\n"+
		"deb-src\thttp://a.invalid/debian calm main\ndeb cdrom:[disc]/ calm main\ndeb http://flat.invalid/x ./\n")
	write("sources.list.d/b.sources", "Types: deb deb-src\nURIs: https://b.invalid/debian\nSuites: calm calm-updates\nComponents: main\nSigned-By:\n -----BEGIN\n .\n x\n\n"+
		"# off\nTypes: deb\nURIs: http://off.invalid\nSuites: s\nComponents: c\nEnabled: no\n")
	write("sources.list.d/c.list.disabled", "deb http://disabled.invalid s c\n")
	got, err := apt.ReadSources(dir)
	if err != nil {
		t.Fatal(err)
	}
	none := map[string]string{}
	want := []apt.Source{
		{
			Types: []string{"deb"}, URIs: []string{"http://a.invalid/debian/"}, Suites: []string{"calm"}, Components: []string{"main", "extra"},
			SignedBy: "/k/a.gpg", AnyDate: true, Options: map[string]string{"architectures": "amd64 arm64"},
		},
		{Types: []string{"deb-src"}, URIs: []string{"http://a.invalid/debian"}, Suites: []string{"calm"}, Components: []string{"main"}, Options: none},
		{Types: []string{"deb"}, URIs: []string{"cdrom:[disc]/"}, Suites: []string{"calm"}, Components: []string{"main"}, Options: none},
		{Types: []string{"deb"}, URIs: []string{"http://flat.invalid/x"}, Suites: []string{"./"}, Components: []string{}, Options: none},
		{
			Types: []string{"deb", "deb-src"}, URIs: []string{"https://b.invalid/debian"}, Suites: []string{"calm", "calm-updates"},
			Components: []string{"main"}, SignedBy: "\n-----BEGIN\n.\nx", Options: none,
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if _, err := apt.New(got, apt.Options{}); err == nil {
		t.Error("two values of Signed-By for one suite were taken")
	}
	got[0].SignedBy = ""
	p, err := apt.New(got, apt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"cdrom:[disc]/"}, p.Skipped); d != "" {
		t.Error(d)
	}
	for _, name := range []string{"a.invalid-debian", "b.invalid-debian", "x"} {
		if p.Archives()[name] == "" {
			t.Errorf("no archive %s", name)
		}
	}
	// What Sources writes, the parser reads: the sources as they are.
	dir = t.TempDir()
	write("sources.list.d/again.sources", p.Sources())
	again, err := apt.ReadSources(dir)
	if d := cmp.Diff(got, again); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
}

func TestItems(t *testing.T) {
	p, err := apt.New([]apt.Source{
		{Types: []string{"deb"}, URIs: []string{"http://a.invalid/debian"}, Suites: []string{"calm", "calm/updates"}, Components: []string{"main"}},
		{Types: []string{"deb"}, URIs: []string{"http://f.invalid/flat"}, Suites: []string{"./"}},
	}, apt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sum := strings.Repeat("ab", 32)
	for _, c := range []struct {
		path, key, upstream string
		mutable             bool
	}{
		{"/debian/dists/calm/InRelease", "debian/dists/calm/InRelease", "http://a.invalid/debian/dists/calm/InRelease", true},
		{"/debian/dists/calm/updates/InRelease", "debian/dists/calm/updates/InRelease", "http://a.invalid/debian/dists/calm/updates/InRelease", true},
		{"/debian/dists/calm/main/binary-all/Packages.xz", "debian/dists/calm/main/binary-all/Packages.xz", "http://a.invalid/debian/dists/calm/main/binary-all/Packages.xz", true},
		{"/debian/dists/calm/main/by-hash/SHA256/" + sum, "debian/dists/calm/main/by-hash/SHA256/" + sum, "http://a.invalid/debian/dists/calm/main/by-hash/SHA256/" + sum, false},
		{"/debian/pool/a_1%3a2~x+y.deb", "debian/pool/a_1%3a2~x+y.deb", "http://a.invalid/debian/pool/a_1%253a2~x+y.deb", false},
		{"/debian/dists/storm/InRelease", "debian/dists/storm/InRelease", "http://a.invalid/debian/dists/storm/InRelease", true}, // no source names it
		{"/flat/./InRelease", "flat/InRelease", "http://f.invalid/flat/InRelease", true},
		{"/flat/./Packages", "flat/Packages", "http://f.invalid/flat/Packages", true},
		{"/flat/./x.deb", "flat/x.deb", "http://f.invalid/flat/x.deb", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://r/", nil)
		r.URL.Path = c.path
		it, err := p.Item(r)
		if err != nil || it.Key != c.key || it.Upstream != c.upstream || it.Mutable != c.mutable {
			t.Errorf("%s: %+v, %v", c.path, it, err)
		}
	}
	for _, bad := range []string{
		"/", "/debian", "/debian/", "/other/dists/calm/InRelease", "/debian/../x", "/debian/pool/../../x", "/debian/a\\b", "/debian/a\x00b",
		"/debian/dists/calm/Release", "/debian/dists/calm/Release.gpg",
		"/debian/dists/calm/main/binary-all/Packages.diff/Index", "/debian/dists/calm/by-hash/MD5Sum/" + sum[:32], "/debian/pool/dir/",
		"/debian/" + strings.Repeat("a", apt.PathLimit),
	} {
		r := httptest.NewRequest(http.MethodGet, "http://r/", nil)
		r.URL.Path = bad
		if it, err := p.Item(r); errs.KindOf(err) != errs.Invalid || err == nil {
			t.Errorf("%q: %+v, %v", bad, it, err)
		}
	}
}

func TestAFlatArchiveIsProvedByItsIndex(t *testing.T) {
	key := newKey()
	p, err := apt.New([]apt.Source{{Types: []string{"deb"}, URIs: []string{"http://f.invalid/flat"}, Suites: []string{"./"}, SignedBy: pack.Armour(key)}}, apt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	deb := []byte("a package")
	index := []byte("Package: x\nFilename: ./x.deb\nSize: 9\nSHA256: " + hexSum(deb) + "\n")
	held := map[string][]byte{
		"flat/InRelease": sign(key, "Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n "+hexSum(index)+" "+strconv.Itoa(len(index))+" Packages\n"),
		"flat/Packages":  index,
	}
	have := func(_ context.Context, key string) (io.ReadCloser, error) {
		if b, ok := held[key]; ok {
			return io.NopCloser(bytes.NewReader(b)), nil
		}
		return nil, errs.Errorf(errs.NotFound, "%s", key)
	}
	for _, c := range []struct {
		key  string
		body []byte
		kind string
	}{
		{"flat/InRelease", held["flat/InRelease"], apt.ProofKey},
		{"flat/Packages", index, apt.ProofRelease},
		{"flat/x.deb", deb, apt.ProofIndex},
	} {
		proof, err := p.Check(t.Context(), record.Item{Key: c.key}, bytes.NewReader(c.body), have)
		if err != nil || proof.Kind != c.kind {
			t.Errorf("%s: %v, %v", c.key, proof, err)
		}
	}
	if _, err := p.Check(t.Context(), record.Item{Key: "flat/x.deb"}, bytes.NewReader([]byte("a packagE")), have); errs.KindOf(err) != errs.Untrusted {
		t.Error(err)
	}
}
