package apt

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/record"
	"overland/internal/testkit/recording"
)

func TestLockedSources(t *testing.T) {
	sum := strings.Repeat("a", 64)
	hash := "/by-hash/SHA256/" + sum
	depot := recording.Store(t)
	release, err := depot.PutBytes(t.Context(), sign(t, newKey(t), "Date: Mon, 02 Jan 2006 15:04:05 UTC\nSHA256:\n "+
		sum+" 7 main/i18n/Translation-de.xz\n "+sum+" 7 main/i18n/Translation-eo.xz\n "+strings.Repeat("b", 64)+" 7 main/i18n/Translation-en.xz\n"))
	if err != nil {
		t.Fatal(err)
	}
	l := &record.Lock{}
	for _, key := range []string{
		"debian/dists/calm/InRelease", "debian/dists/calm/main/binary-amd64" + hash, "debian/dists/calm/main/binary-all/Packages.xz",
		"debian/dists/calm/non-free/source/Sources.xz", "debian/dists/calm/main/i18n" + hash, "debian/pool/main/t/tea/tea_1_amd64.deb",
		"debian/dists/calm/updates/InRelease", "debian/dists/calm/updates/main/binary-armhf/Packages.gz", "debian/dists/calm/updates/main/i18n/Translation-en.xz",
		"debian/dists/calm/updates/main/Contents-armhf.gz",
		"debian/dists/idle/InRelease",
		"flat/InRelease", "flat/Packages.gz", "flat/tea.deb", "flat/deeper/InRelease", "flat/deeper/Sources",
	} {
		l.Entries = append(l.Entries, record.Entry{Protocol: "apt", Key: key, Status: http.StatusOK, Blob: release})
	}
	l.Entries = append(l.Entries, record.Entry{Protocol: "apt", Key: "debian/dists/none/InRelease", Status: http.StatusNotFound},
		record.Entry{Protocol: "url", Key: "debian/dists/other/InRelease", Status: http.StatusOK})
	known := []Source{{Types: []string{"deb"}, URIs: []string{"http://mirror.example/debian/"}, Suites: []string{"calm"}, Components: []string{"contrib"}, SignedBy: "/key"}}
	p, err := New(LockedSources(l, depot, known), Options{Locked: true})
	if err != nil {
		t.Fatal(err)
	}
	want := `architectures: amd64
check-valid-until: no
components: main non-free
languages: de eo
signed-by: /key
suites: calm
targets: Packages Sources Translations
types: deb deb-src
uris: http://here/apt/debian

architectures: armhf
check-valid-until: no
components: main
languages: en
suites: calm/updates
trusted: yes
types: deb
uris: http://here/apt/debian

check-valid-until: no
languages: none
suites: ./
targets: Packages Sources Translations
trusted: yes
types: deb
uris: http://here/apt/flat

check-valid-until: no
languages: none
suites: deeper/
targets: Packages Sources Translations
trusted: yes
types: deb-src
uris: http://here/apt/flat

`
	if d := cmp.Diff(want, p.Sources("http://here/apt")); d != "" {
		t.Error(d)
	}
	for _, e := range l.Entries[:8] {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://here/"+e.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		if it, err := p.Item(r); err != nil || it.Key != e.Key {
			t.Errorf("%s: %+v, %v", e.Key, it, err)
		}
	}
}
