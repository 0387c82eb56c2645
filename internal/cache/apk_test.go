package cache_test

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"overland/internal/cache/cachetest"
	"overland/internal/ecosystem/apk"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/testkit/pack"
)

// A cache refuses an index older than its newest, even a signed one; a freeze does not move; and a
// machine with yesterday's index gets what that one lists.
func TestACacheIsNotRolledBack(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pub := pack.NewAlpine(t, key)
	srv := httptest.NewServer(pub)
	t.Cleanup(srv.Close)
	c := open(t, t.TempDir(), &cachetest.Memory{})
	p, err := apk.New([]apk.Repository{{URL: srv.URL + "/calm", Keys: pub.Keys}}, c)
	if err != nil {
		t.Fatal(err)
	}
	get := func(from record.Getter, name string) (lockfile.Entry, error) {
		r := httptest.NewRequest(http.MethodGet, "http://cache/calm/"+name, nil)
		it, err := p.Item(r)
		if err != nil {
			return lockfile.Entry{}, err
		}
		e, blob, err := from.Get(t.Context(), p, it)
		if blob != nil {
			blob.Close()
		}
		return e, err
	}
	good := func(from record.Getter, name string) lockfile.Entry {
		t.Helper()
		e, err := get(from, name)
		if err != nil || !e.Exists() {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		return e
	}
	tomorrow := func(hours int, records ...string) {
		t.Helper()
		pub.Index(t, pack.AlpineBirth.Add(time.Duration(hours)*time.Hour), records...)
		if err := c.Recheck(t.Context(), apk.Name, "calm/"+pack.AlpineIndex); err != nil {
			t.Fatal(err)
		}
	}

	first := good(c, pack.AlpineIndex)
	if _, err := c.Freeze(t.Context(), "first", time.Time{}); err != nil {
		t.Fatal(err)
	}
	const newer = "v1/main/x86_64/tea-1.1-r0.apk"
	b, rec := pack.APK(t, key, "tea", "1.1-r0", "tea 1.1")
	pub.Put(newer, b)
	tomorrow(1, rec)
	second := good(c, pack.AlpineIndex)
	good(c, newer)
	if good(c, pack.AlpineTea).Proof.Value != "calm/"+pack.AlpineIndex+" "+first.Blob.String() {
		t.Error("a package of yesterday is not proved by the index of yesterday")
	}
	for range 2 {
		tomorrow(0)
		if _, err := get(c, pack.AlpineIndex); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("an older index: %v", err)
		}
	}
	if e := good(c.View("first"), pack.AlpineIndex); e.Blob != first.Blob || e.Blob == second.Blob {
		t.Errorf("the freeze moved from %s to %s", first.Blob, e.Blob)
	}
}
