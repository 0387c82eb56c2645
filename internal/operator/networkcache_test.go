package operator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/home"
	"overland/internal/session"
	"overland/internal/testkit/shacache"
)

// Which network cache a build uses: the one that was named, else the site
// directory's own; none in a session.
func TestWhichNetworkCache(t *testing.T) {
	cache := shacache.New(t)
	keys := cache.Keys("maker")
	dir := t.TempDir()
	named := filepath.Join(t.TempDir(), "named.cfg")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said []string
	warn := Callbacks{Warn: func(s string) { said = append(said, s) }}
	uses := func(o Options, file string) bool {
		t.Helper()
		if o.Env == nil {
			o.Env = []string{"PATH=/bin"}
		}
		s, done, err := open(t, dir, o).With(warn).shared(BuildOptions{NetworkCache: file}, &Source{})
		if err != nil {
			t.Fatal(err)
		}
		done()
		return s != nil
	}
	if uses(Options{}, "") {
		t.Error("a cache without a configuration")
	}
	write(named, cache.Config(keys, keys)+"unknown-option = 1\n")
	if !uses(Options{}, named) || !strings.Contains(strings.Join(said, "\n"), "unknown-option") {
		t.Errorf("the named one is not used; said %q", said)
	}
	own := home.SharedCache.In(dir)
	write(own, cache.Config(shacache.Keys{}, keys))
	if !uses(Options{}, "") || uses(Options{}, NoNetworkCache) {
		t.Error("the site directory's own is not used, or not left out")
	}
	for _, kind := range []string{session.Recording, session.Replaying} {
		if uses(Options{Env: []string{"OVERLAND_SESSION=" + kind}}, named) {
			t.Errorf("used in a %s", kind)
		}
	}
	for text, want := range map[string]string{
		"[other]\n": "no section",
		"[networkcache]\nupload-binary-cache-url = http://127.0.0.1:1/shacache\n": "nothing to take results from",
	} {
		write(named, text)
		_, _, err := open(t, dir, Options{Env: []string{}}).shared(BuildOptions{NetworkCache: named}, &Source{})
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, _, err := open(t, dir, Options{Env: []string{}}).shared(BuildOptions{NetworkCache: named + ".none"}, &Source{})
	if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Errorf("a file that is not there: %v", err)
	}
}
