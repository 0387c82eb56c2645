package session_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"overland/internal/session"
	"overland/internal/testkit/pack"
)

// archive returns the files of a flat archive at path with one version of tea, which ends in more, by path, and its Release.
func archive(path, version, more string) (files map[string]string, release string) {
	body := "tea " + version + more
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	index := fmt.Sprintf("Package: tea\nVersion: %s\nArchitecture: all\nMaintainer: a <a@a.invalid>\nDescription: tea\nFilename: ./tea_%s_all.deb\nSize: %d\nSHA256: %s\n\n",
		version, version, len(body), sum(body))
	release = fmt.Sprintf("Origin: %s\nDate: %s\nSHA256:\n %s %d Packages\n", path, time.Now().UTC().Add(-time.Hour).Format(time.RFC1123), sum(index), len(index))
	return map[string]string{path + "/Packages": index, path + "/tea_" + version + "_all.deb": body}, release
}

// apt gets what it would get without us: preferences find the hosts that they name, a signature may
// be a file of its own, and what apt is told to trust is recorded, and said to be unproved.
func TestAptAsItIs(t *testing.T) {
	key := pack.OpenPGP(time.Now().Add(-24 * time.Hour))
	all := map[string]string{}
	add := func(path, version string, signed func(release string)) {
		files, release := archive(path, version, "")
		for name, text := range files {
			all[name] = text
		}
		signed(release)
	}
	add("/clear", "1", func(release string) { all["/clear/InRelease"] = string(pack.ClearSign(key, release, nil)) })
	add("/apart", "2", func(release string) {
		var sig bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&sig, key, strings.NewReader(release), nil); err != nil {
			t.Fatal(err)
		}
		all["/apart/Release"], all["/apart/Release.gpg"] = release, sig.String()
	})
	add("/trusted", "3", func(string) {})
	add("/closed", "4", func(release string) { all["/closed/InRelease"] = string(pack.ClearSign(key, release, nil)) })
	add("/late", "5", func(release string) {
		release = "Valid-Until: " + time.Now().UTC().Add(-time.Minute).Format(time.RFC1123) + "\n" + release
		all["/late/InRelease"] = string(pack.ClearSign(key, release, nil))
	})
	for name, text := range maps.Clone(all) { // as apt writes it
		all[path.Dir(name)+"/./"+path.Base(name)] = text
	}
	inner := registry(t, all).Config.Handler
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, word, _ := r.BasicAuth(); strings.HasPrefix(r.URL.Path, "/closed/") != (word == "SECRET") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	dir := t.TempDir()
	ring := filepath.Join(dir, "key.asc")
	files(t, dir, map[string]string{
		"own.list": fmt.Sprintf("deb [signed-by=%[1]s] https://one.invalid/clear ./\ndeb [signed-by=%[1]s] https://two.invalid/apart ./\ndeb [trusted=yes] https://three.invalid/trusted ./\n"+
			"deb [signed-by=%[1]s] https://four.invalid/closed ./\ndeb [signed-by=%[1]s] https://five.invalid/late ./\ndeb [trusted=yes] file:%[2]s/disk ./\n", ring, dir),
		"auth.conf":     "machine four.invalid login tea password SECRET\n",
		"apt.conf":      "Acquire::Check-Valid-Until \"false\";\nAcquire::http::Timeout \"9\";\nDir::Etc::sourcelist \"" + dir + "/own.list\";\nDir::Etc::sourceparts \"/dev/null\";\nDir::Etc::netrc \"" + dir + "/auth.conf\";\n",
		"disk/Packages": "",
		"key.asc":       pack.Armour(key),
		"one":           "Package: *\nPin: origin \"one.invalid\"\nPin-Priority: 1001\n",
		"two":           "Package: *\nPin: origin \"two.invalid\"\nPin-Priority: 1001\n",
		"four":          "Package: *\nPin: origin \"four.invalid\"\nPin-Priority: 1001\n",
		"none":          "",
	})
	t.Setenv("APT_CONFIG", filepath.Join(dir, "apt.conf"))
	o, out := newOptions(t, `set -e; cd `+dir+`; rm -f *.deb; apt-config dump --format %v%n Acquire::http::Timeout Acquire::https::Timeout | xargs; apt-get -q update >&2; for p in one two four none; do apt-get -q -o Dir::Etc::preferences=`+dir+`/$p -o Dir::Etc::preferencesparts=/dev/null download tea >&2; done; cat *.deb`)
	o = o.WithEtc(dir)
	o.Write = []string{dir}
	o.Upstream.Transport = trusting(t, srv)
	said := &strings.Builder{}
	o.Stderr = said
	const want = "9 86400\ntea 1tea 2tea 4tea 5"
	res, err := session.Record(t.Context(), o)
	if err != nil || out.String() != want || len(res.Problems) != 0 {
		t.Fatalf("%v\n%s\n%s\n%v", err, out, said, res)
	}
	if len(res.Unrecorded) != 1 || !strings.Contains(res.Unrecorded[0].Error(), "reads file:"+dir+"/disk from the disk") {
		t.Errorf("%v", res.Unrecorded)
	}
	var text bytes.Buffer
	if err := res.Lock.Write(&text); err != nil || strings.Contains(text.String(), "SECRET") || !strings.Contains(text.String(), "closed/tea_4_all.deb") {
		t.Errorf("%v\n%s", err, &text)
	}
	if len(res.Unproved) != 1 || !strings.Contains(res.Unproved[0].Error(), "three.invalid/trusted without a signature") {
		t.Errorf("%v", res.Unproved)
	}
	proved := map[string]bool{}
	for _, e := range res.Lock.Entries {
		if strings.HasSuffix(e.Key, ".deb") {
			proved[filepath.Base(e.Key)] = e.Proof.Kind != ""
		}
	}
	if !proved["tea_1_all.deb"] || proved["tea_2_all.deb"] || !proved["tea_4_all.deb"] || !proved["tea_5_all.deb"] || len(proved) != 4 {
		t.Errorf("%v", proved)
	}
	srv.Close()
	out.Reset()
	said.Reset()
	o.Lock = res.Lock
	res, err = session.Replay(t.Context(), o)
	if err != nil || out.String() != want || len(res.Problems) != 0 {
		t.Errorf("%v\n%s\n%s\n%v", err, out, said, res.Problems)
	}
}

// A command with sources of its own asks in a replay for the translations that were recorded, whatever languages the
// settings and the locale of that machine name.
func TestAptAsksForTheLanguagesThatWereRecorded(t *testing.T) {
	key := pack.OpenPGP(time.Now().Add(-24 * time.Hour))
	sum := func(text string) string { return fmt.Sprintf("%x %d", sha256.Sum256([]byte(text)), len(text)) }
	const index = "Package: tea\nVersion: 1\nArchitecture: all\nMaintainer: a <a@a.invalid>\nDescription: tea\nFilename: pool/tea_1_all.deb\nSize: 3\nSHA256: 0\n\n"
	text := func(lang string) string { return "Package: tea\nDescription-" + lang + ": tea\n\n" }
	release := fmt.Sprintf("Codename: calm\nSuite: calm\nComponents: main\nArchitectures: all\nDate: %s\nSHA256:\n", time.Now().UTC().Add(-time.Hour).Format(time.RFC1123))
	all := map[string]string{"main/binary-all/Packages": index}
	for _, lang := range []string{"de", "en", "fr"} {
		all["main/i18n/Translation-"+lang] = text(lang)
	}
	served := map[string]string{}
	for name, text := range all {
		release += " " + sum(text) + " " + name + "\n"
		served["/calm/dists/calm/"+name] = text
	}
	served["/calm/dists/calm/InRelease"] = string(pack.ClearSign(key, release, nil))
	srv := registry(t, served)
	dir := t.TempDir()
	files(t, dir, map[string]string{
		"own.list": "deb [signed-by=" + dir + "/key.asc arch=all] https://one.invalid/calm calm main\n", "key.asc": pack.Armour(key), "none/empty": "",
	})
	settings := func(languages string) map[string]string {
		return map[string]string{"apt.conf": "Dir::Etc::sourcelist \"" + dir + "/own.list\";\nDir::Etc::sourceparts \"/dev/null\";\nDir::Etc::parts \"" + dir + "/none\";\nAcquire::Languages " + languages + ";\n"}
	}
	machine := t.TempDir() // which the command of a replay does not see
	t.Setenv("APT_CONFIG", filepath.Join(machine, "apt.conf"))
	o, out := newOptions(t, `cd `+dir+`; apt-get -q -o Dir::Etc::sourcelist=`+dir+`/own.list update >&2 && ls "$(apt-config shell d Dir::State::lists/d | cut -d"'" -f2)" | sed -n 's/.*Translation-//p' | xargs`)
	o = o.WithEtc(dir)
	o.Read = []string{dir}
	o.Upstream.Transport = trusting(t, srv)
	said := &strings.Builder{}
	o.Stderr = said
	const want = "de en\n"
	files(t, machine, settings(`{ "de"; "en"; }`))
	res, err := session.Record(t.Context(), o)
	if err != nil || out.String() != want || len(res.Problems) != 0 {
		t.Fatalf("%v\n%q\n%s\n%v", err, out, said, res)
	}
	out.Reset()
	files(t, machine, settings(`"fr"`))
	o.Lock = res.Lock
	res, err = session.Replay(t.Context(), o)
	if err != nil || out.String() != want || len(res.Problems) != 0 {
		t.Errorf("%v\n%q\n%s\n%v", err, out, said, res.Problems)
	}
}
