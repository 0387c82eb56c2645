package operator_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/home"
	"overland/internal/operator"
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
	warn := operator.Callbacks{Warn: func(s string) { said = append(said, s) }}
	uses := func(o operator.Options, file string) bool {
		t.Helper()
		if o.Env == nil {
			o.Env = []string{"PATH=/bin"}
		}
		s, done, err := operator.Shared(open(t, dir, o).With(warn), operator.BuildOptions{NetworkCache: file}, &operator.Source{})
		if err != nil {
			t.Fatal(err)
		}
		done()
		return s != nil
	}
	if uses(operator.Options{}, "") {
		t.Error("a cache without a configuration")
	}
	write(named, cache.Config(keys, keys)+"unknown-option = 1\n")
	if !uses(operator.Options{}, named) || !strings.Contains(strings.Join(said, "\n"), "unknown-option") {
		t.Errorf("the named one is not used; said %q", said)
	}
	own := home.SharedCache.In(dir)
	write(own, cache.Config(shacache.Keys{}, keys))
	if !uses(operator.Options{}, "") || uses(operator.Options{}, operator.NoNetworkCache) {
		t.Error("the site directory's own is not used, or not left out")
	}
	for _, kind := range []string{session.Recording, session.Replaying} {
		if uses(operator.Options{Env: []string{"OVERLAND_SESSION=" + kind}}, named) {
			t.Errorf("used in a %s", kind)
		}
	}
	for text, want := range map[string]string{
		"[other]\n": "no section",
		"[networkcache]\nupload-binary-cache-url = http://127.0.0.1:1/shacache\n": "nothing to take results from",
	} {
		write(named, text)
		_, _, err := operator.Shared(open(t, dir, operator.Options{Env: []string{}}), operator.BuildOptions{NetworkCache: named}, &operator.Source{})
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, _, err := operator.Shared(open(t, dir, operator.Options{Env: []string{}}), operator.BuildOptions{NetworkCache: named + ".none"}, &operator.Source{})
	if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Errorf("a file that is not there: %v", err)
	}
}
