package apk

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"overland/internal/cache"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
)

// A cache refuses an index older than its newest, also one that is signed; a freeze stays what it was; and a machine with
// an index of yesterday gets what that one lists.
func TestACacheIsNotRolledBack(t *testing.T) {
	s := newSession(t)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	k, err := cache.Open(t.Context(), t.TempDir(), s.store, cache.Options{Upstream: &origin.Client{Transport: transport, Tries: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	s.protocol.history = k
	get := func(from record.Getter, name string) (lockfile.Entry, error) {
		r := httptest.NewRequest(http.MethodGet, "http://cache/calm/"+name, nil)
		it, err := s.protocol.Item(r)
		if err != nil {
			return lockfile.Entry{}, err
		}
		e, blob, err := from.Get(t.Context(), s.protocol, it)
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
		s.index(birth.Add(time.Duration(hours)*time.Hour), records...)
		if err := k.Recheck(t.Context(), Name, "calm/"+teaIdx); err != nil {
			t.Fatal(err)
		}
	}

	first := good(k, teaIdx)
	if _, err := k.Freeze(t.Context(), "first", time.Time{}); err != nil {
		t.Fatal(err)
	}
	const newer = "v1/main/x86_64/tea-1.1-r0.apk"
	b, rec := apk(t, s.key, "tea", "1.1-r0", "tea 1.1")
	s.put(newer, b)
	tomorrow(1, rec)
	second := good(k, teaIdx)
	good(k, newer)
	if good(k, teaApk).Proof.Value != "calm/"+teaIdx+" "+first.Blob.String() {
		t.Error("a package of yesterday is not proved by the index of yesterday")
	}
	for range 2 {
		tomorrow(0)
		if _, err := get(k, teaIdx); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("an older index: %v", err)
		}
	}
	if e := good(k.View("first"), teaIdx); e.Blob != first.Blob || e.Blob == second.Blob {
		t.Errorf("the freeze moved from %s to %s", first.Blob, e.Blob)
	}
}
