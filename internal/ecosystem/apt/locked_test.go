package apt_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/ecosystem/apt"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/store"
	"overland/internal/testkit/recording"
)

func TestLockedSources(t *testing.T) {
	sum := strings.Repeat("a", 64)
	hash := "/by-hash/SHA256/" + sum
	depot := recording.Store(t)
	release, err := store.PutBytes(t.Context(), depot, sign(newKey(), "Date: Mon, 02 Jan 2006 15:04:05 UTC\nSHA256:\n "+
		sum+" 7 main/i18n/Translation-de.xz\n "+sum+" 7 main/i18n/Translation-eo.xz\n "+strings.Repeat("b", 64)+" 7 main/i18n/Translation-en.xz\n"))
	if err != nil {
		t.Fatal(err)
	}
	l := &lockfile.Lock{}
	for _, key := range []string{
		"debian/dists/calm/InRelease", "debian/dists/calm/main/binary-amd64" + hash, "debian/dists/calm/main/binary-all/Packages.xz",
		"debian/dists/calm/non-free/source/Sources.xz", "debian/dists/calm/main/i18n" + hash, "debian/pool/main/t/tea/tea_1_amd64.deb",
		"debian/dists/calm/updates/InRelease", "debian/dists/calm/updates/main/binary-armhf/Packages.gz", "debian/dists/calm/updates/main/i18n/Translation-en.xz",
		"debian/dists/calm/updates/main/Contents-armhf.gz",
		"debian/dists/idle/InRelease",
		"flat/InRelease", "flat/Packages.gz", "flat/tea.deb", "flat/deeper/InRelease", "flat/deeper/Sources",
	} {
		l.Entries = append(l.Entries, lockfile.Entry{Protocol: "apt", Key: key, Status: http.StatusOK, Blob: release})
	}
	l.Entries = append(l.Entries, lockfile.Entry{Protocol: "apt", Key: "debian/dists/none/InRelease", Status: http.StatusNotFound},
		lockfile.Entry{Protocol: "url", Key: "debian/dists/other/InRelease", Status: http.StatusOK})
	known := []apt.Source{{Types: []string{"deb"}, URIs: []string{"http://mirror.example/debian/"}, Suites: []string{"calm"}, Components: []string{"contrib"}, SignedBy: "/key"}}
	p, err := apt.New(apt.LockedSources(t.Context(), l, depot, known), apt.Options{Locked: true})
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
uris: http://mirror.example/debian

architectures: armhf
check-valid-until: no
components: main
languages: en
suites: calm/updates
trusted: yes
types: deb
uris: http://mirror.example/debian

check-valid-until: no
languages: none
suites: ./
targets: Packages Sources Translations
trusted: yes
types: deb
uris: http://locked.invalid/flat

check-valid-until: no
languages: none
suites: deeper/
targets: Packages Sources Translations
trusted: yes
types: deb-src
uris: http://locked.invalid/flat

`
	if d := cmp.Diff(want, p.Sources()); d != "" {
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

// TestTheOrderOfSources: of a package that two archives have, apt takes the first one's.
func TestTheOrderOfSources(t *testing.T) {
	l := &lockfile.Lock{}
	for _, suite := range []string{"debian-security/dists/calm-security", "debian/dists/calm", "debian/dists/calm-updates", "other/dists/calm"} {
		for _, index := range []string{"/InRelease", "/main/binary-amd64/Packages.xz"} {
			l.Entries = append(l.Entries, lockfile.Entry{Protocol: "apt", Key: suite + index, Status: http.StatusOK, Blob: "sha256:none"})
		}
	}
	source := func(uri string, suites ...string) apt.Source {
		return apt.Source{Types: []string{"deb"}, URIs: []string{uri}, Suites: suites, Components: []string{"main"}}
	}
	known := []apt.Source{source("http://mirror.example/debian", "calm-updates", "calm"), source("http://mirror.example/debian-security", "calm-security")}
	var got []string
	for _, s := range apt.LockedSources(t.Context(), l, recording.Store(t), known) {
		got = append(got, s.URIs[0]+" "+s.Suites[0])
	}
	if want := []string{
		"http://mirror.example/debian calm-updates", "http://mirror.example/debian calm", "http://mirror.example/debian-security calm-security", apt.LockedURI + "other calm",
	}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestAPackageInTwoPlaces: one that was recorded in one place, and is asked for in another where
// the index says that it is the same.
func TestAPackageInTwoPlaces(t *testing.T) {
	s := newSession(t)
	deb := s.get(debPath)
	stanza := func(path string, body []byte) string {
		return fmt.Sprintf("Package: tea\nFilename: %s\nSize: %d\nSHA256: %s\n\n", path, len(body), hexSum(body))
	}
	const second, other = "pool/updates/main/t/tea/tea.deb", "pool/main/t/tea/coffee.deb"
	s.put(indexPath, packed(t, []byte(stanza(debPath, deb)+stanza(second, deb)+stanza(other, []byte("coffee")))))
	s.release(s.key, "calm", birth, birth.AddDate(1, 0, 0))
	for _, name := range []string{"dists/calm/InRelease", indexPath, debPath} {
		if _, err := s.fetch(name); err != nil {
			t.Fatal(err)
		}
	}
	r := record.NewReplayer(s.store, s.recorder.Lock())
	ask := func(name string) (lockfile.Entry, error) {
		it, err := s.protocol.Item(httptest.NewRequest(http.MethodGet, "http://recorder/archive/"+name, http.NoBody))
		if err != nil {
			t.Fatal(err)
		}
		it.Key = "archive/" + name
		e, b, err := r.Get(t.Context(), s.protocol, it)
		if err == nil {
			defer b.Close()
		}
		return e, err
	}
	if e, err := ask(second); err != nil || e.Key != "archive/"+debPath {
		t.Errorf("got %+v, %v", e, err)
	}
	if len(r.Misses()) != 0 || !r.Used().Has("apt") {
		t.Errorf("misses %v, used %v", r.Misses(), r.Used())
	}
	for _, name := range []string{other, "pool/main/t/tea/nowhere.deb"} {
		if _, err := ask(name); !errors.As(err, new(*record.MissError)) {
			t.Errorf("%s: %v, want a miss", name, err)
		}
	}
}
