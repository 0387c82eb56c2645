package mirror_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/cache"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/mirror"
	"overland/internal/store"
	"overland/internal/store/mem"
	"overland/internal/testkit/attack"
	"overland/internal/testkit/badlink"
	"overland/internal/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	body = bytes.Repeat([]byte("0123456789abcdef"), 1000)
	blob = digest.Of(body)
)

func upstream(t *testing.T, blobs ...[]byte) *badlink.Origin {
	t.Helper()
	o := badlink.NewOrigin(nil, blobs...)
	t.Cleanup(func() { o.Close() })
	return o
}

func chain(t *testing.T, dir string, o mirror.Options) (*mirror.Chain, *mem.Store) {
	t.Helper()
	depot := new(mem.Store)
	c, err := mirror.Open(dir, depot, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, depot
}

func has(t *testing.T, s store.Store, d digest.Digest) bool {
	t.Helper()
	there, err := store.Has(t.Context(), s, d)
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// What was fetched through is kept: it is counted once, and upstream is not asked for it again.
func TestFetchThrough(t *testing.T) {
	far := upstream(t, body)
	counted := 0
	c, depot := chain(t, t.TempDir(), mirror.Options{
		Sites: []string{far.URL(far.Addr())},
		Kept: func(_ context.Context, d digest.Digest, size int64) error {
			if counted++; d != blob || size != int64(len(body)) {
				t.Errorf("counted %s of %d bytes", d, size)
			}
			return nil
		},
	})
	for range 2 {
		if err := c.Fetch(t.Context(), blob); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := far.Requests(); n != 1 || counted != 1 || !has(t, depot, blob) {
		t.Errorf("%d requests, counted %d times, kept: %v", n, counted, has(t, depot, blob))
	}
	absent := digest.Of(nil)
	for range 2 {
		if err := c.Fetch(t.Context(), absent); errs.KindOf(err) != errs.NotFound {
			t.Errorf("a blob that nobody has: %v", err)
		}
	}
	if n, _ := far.Requests(); n != 2 {
		t.Errorf("%d requests, want one more", n)
	}
}

func TestOfflineNobodyIsAsked(t *testing.T) {
	far := upstream(t, body)
	c, _ := chain(t, t.TempDir(), mirror.Options{
		Sites: []string{far.URL(far.Addr())}, Offline: func(context.Context) bool { return true },
	})
	if err := c.Fetch(t.Context(), blob); errs.KindOf(err) != errs.Unavailable || errs.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if n, _ := far.Requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// An upstream that lies has no blob, and another one makes up for it.
func TestAnUpstreamThatLies(t *testing.T) {
	liar, honest := upstream(t, body), upstream(t, body)
	liar.Set(badlink.Liar, 77)
	alone, depot := chain(t, t.TempDir(), mirror.Options{Sites: []string{liar.URL(liar.Addr())}})
	if err := alone.Fetch(t.Context(), blob); errs.KindOf(err) != errs.NotFound || has(t, depot, blob) {
		t.Errorf("got %v, kept: %v", err, has(t, depot, blob))
	}
	both, depot := chain(t, t.TempDir(), mirror.Options{Sites: []string{liar.URL(liar.Addr()), honest.URL(honest.Addr())}})
	if err := both.Fetch(t.Context(), blob); err != nil || !has(t, depot, blob) {
		t.Errorf("got %v, kept: %v", err, has(t, depot, blob))
	}
}

// cacheOf is a site that says found for the key "k" of the protocol "p", and has the blobs of far.
func cacheOf(t *testing.T, far *badlink.Origin, found cache.Found) (url string) {
	t.Helper()
	said, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", far)
	mux.HandleFunc(mirror.CachePath+"/p/{key}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("key") != "k" {
			http.Error(w, `{"code":"notfound"}`, http.StatusNotFound)
			return
		}
		_, _ = w.Write(said)
	})
	s := httptest.NewUnstartedServer(mux)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL + "#sha256:" + digest.Of(s.Certificate().RawSubjectPublicKeyInfo).Encoded()
}

// The site that has an answer says which blob it is, and the blob comes as any other.
func TestFind(t *testing.T) {
	far := upstream(t, body)
	want := cache.Found{Blob: blob, Size: int64(len(body)), MediaType: "text/plain", ETag: `"1"`}
	c, depot := chain(t, t.TempDir(), mirror.Options{Sites: []string{cacheOf(t, far, want)}})
	if _, _, err := c.Find(t.Context(), "p", "k", want.Size-1, func() {}); errs.KindOf(err) != errs.Unavailable || has(t, depot, blob) {
		t.Errorf("a blob over the limit: %v", err)
	}
	for _, first := range []bool{true, false} {
		got, brought, err := c.Find(t.Context(), "p", "k", want.Size, func() {})
		if err != nil || got != want || brought != first || !has(t, depot, blob) {
			t.Errorf("found %+v, brought: %v, %v", got, brought, err)
		}
	}
	if _, _, err := c.Find(t.Context(), "p", "other", want.Size, func() {}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("what nobody has: %v", err)
	}
}

// Metadata is handed on once it is verified, and is there when upstream is not.
func TestMetadata(t *testing.T) {
	p, far, dir := attack.New(time.Now().Add(-time.Hour)), upstream(t), t.TempDir()
	for name, b := range p.Files() {
		far.AddTrust(name, b)
	}
	root, err := trust.FingerprintOf(p.Files()["1.root.json"])
	if err != nil {
		t.Fatal(err)
	}
	o := mirror.Options{Sites: []string{far.URL(far.Addr())}, Root: root, Fresh: 1}
	c, _ := chain(t, dir, o)
	if err := c.Pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	is := func(what string) {
		t.Helper()
		got, err := c.Metadata(t.Context(), "timestamp.json", trust.MaxTimestamp)
		if err != nil || !bytes.Equal(got, p.Files()["timestamp.json"]) {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	is("verified")
	far.AddTrust("timestamp.json", []byte("{}"))
	is("upstream lies")
	far.Close()
	is("upstream is dead")

	o.Root = trust.Fingerprint(trust.FingerprintPrefix + strings.Repeat("ab", 32))
	another, _ := chain(t, dir, o)
	if err := another.Pin(t.Context()); errs.KindOf(err) != errs.Untrusted || errs.HintOf(err) == "" {
		t.Errorf("another root: %v", err)
	}
}
