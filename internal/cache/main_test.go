package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/cache"
	"overland/internal/cache/cachetest"
	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// TestMain also plays the process that is killed: OVERLAND_CACHE_TEST holds the
// directory and the upstream's URL.
func TestMain(m *testing.M) {
	if part := os.Getenv("OVERLAND_CACHE_TEST"); part != "" {
		dir, upstream, _ := strings.Cut(part, " ")
		if err := play(dir, upstream); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// fixture is a protocol whose things are at upstream; those below /i/ can change. Check has two
// rules: nothing may start with BAD, and /i/packages must name the release in /i/release.
type fixture struct{ upstream string }

func (fixture) Name() string { return "fix" }

func (f fixture) Item(r *http.Request) (record.Item, error) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	if strings.Contains(key, "..") {
		return record.Item{}, errs.Errorf(errs.Invalid, "key %q", key)
	}
	return f.item(key), nil
}

func (f fixture) item(key string) record.Item {
	return record.Item{Protocol: "fix", Key: key, Upstream: f.upstream + "/" + key, Mutable: strings.HasPrefix(key, "i/"), AtOnce: strings.HasPrefix(key, "i/tags/"), Limit: 64 << 20}
}

func (f fixture) ItemOf(key string) (record.Item, error) {
	return record.ByPath(f, key)
}

func (fixture) Check(ctx context.Context, it record.Item, body io.ReadSeeker, have record.Lookup) (lockfile.Proof, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return lockfile.Proof{}, err
	}
	if bytes.HasPrefix(b, []byte("BAD")) {
		return lockfile.Proof{}, errs.Errorf(errs.Untrusted, "%s: bad", it.Key)
	}
	if it.Key == "i/packages" {
		r, err := have(ctx, "i/release")
		if err != nil {
			return lockfile.Proof{}, err
		}
		defer r.Close()
		if want, err := io.ReadAll(r); err != nil || !bytes.HasPrefix(b, want) {
			return lockfile.Proof{}, errs.Errorf(errs.Untrusted, "packages %q do not belong to release %q", b, want)
		}
	}
	return lockfile.Proof{Kind: "fix", Value: "good"}, nil
}

func (fixture) Serve(_ record.Item, e lockfile.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	return body, e.MediaType, nil
}

// upstream is an origin whose answers a test changes.
type upstream struct {
	*httptest.Server
	mu     sync.Mutex
	things map[string]string
	asked  map[string]int
	handle func(w http.ResponseWriter, r *http.Request) bool // first; true = answered
}

func newOrigin(t *testing.T) *upstream {
	o := &upstream{things: map[string]string{}, asked: map[string]int{}}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	o.mu.Lock()
	o.asked[key]++
	body, ok := o.things[key]
	handle := o.handle
	o.mu.Unlock()
	if handle != nil && handle(w, r) {
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Etag", fmt.Sprintf(`"%d-%.20s"`, len(body), strings.ReplaceAll(body, " ", "")))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
}

func (o *upstream) set(key, body string) { o.mu.Lock(); o.things[key] = body; o.mu.Unlock() }

func (o *upstream) trouble(h func(w http.ResponseWriter, r *http.Request) bool) {
	o.mu.Lock()
	o.handle = h
	o.mu.Unlock()
}

func (o *upstream) requests(key string) int { o.mu.Lock(); defer o.mu.Unlock(); return o.asked[key] }

func broken(w http.ResponseWriter, _ *http.Request) bool {
	http.Error(w, "no", http.StatusInternalServerError)
	return true
}

// bench is a cache under test, its upstream and its time.
type bench struct {
	*cache.Cache
	store  *storedir.Store
	t      *testing.T
	p      fixture
	origin *upstream
	dir    string
	fs     fsx.FS
	room   int64 // store.Options.Reserve
	o      cache.Options
	mu     sync.Mutex
	now    time.Time
}

func newBench(t *testing.T, change func(*bench)) *bench {
	b := &bench{t: t, origin: newOrigin(t), dir: t.TempDir(), now: time.Date(2026, 1, 6, 12, 0, 0, 0, time.UTC)}
	b.p = fixture{b.origin.URL}
	b.o.Clock = clock.Clock(func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now })
	b.o.Upstream, b.o.Facts = client(t), &cachetest.Memory{}
	if change != nil {
		change(b)
	}
	b.open()
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func client(t *testing.T) *origin.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &origin.Client{Transport: transport, Wait: time.Millisecond, Tries: 2, Dir: t.TempDir()}
}

func (b *bench) open() {
	b.t.Helper()
	s, err := storedir.Open(filepath.Join(b.dir, "depot"), storedir.Options{FS: b.fs, Reserve: b.room})
	if err != nil {
		b.t.Fatal(err)
	}
	b.store = s
	if b.Cache, err = cache.Open(b.t.Context(), filepath.Join(b.dir, "cache"), s, b.o); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) reopen() {
	b.t.Helper()
	if err := b.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

func (b *bench) later(d time.Duration) { b.mu.Lock(); b.now = b.now.Add(d); b.mu.Unlock() }

// read returns what from answers for key: the bytes, or the status as text.
func read(ctx context.Context, from record.Getter, p fixture, key string) (string, error) {
	e, blob, err := from.Get(ctx, p, p.item(key))
	if err != nil {
		return "", err
	}
	if !e.Exists() {
		if blob != nil {
			return "", errors.New("a blob of what does not exist")
		}
		return fmt.Sprint(e.Status), nil
	}
	defer blob.Close()
	body, err := io.ReadAll(blob)
	if err == nil && (int64(len(body)) != e.Size || blob.Size() != e.Size) {
		err = fmt.Errorf("%d bytes, the entry says %d", len(body), e.Size)
	}
	return string(body), err
}

func (b *bench) want(from record.Getter, key, want string) {
	b.t.Helper()
	got, err := read(b.t.Context(), from, b.p, key)
	if err != nil || got != want {
		b.t.Errorf("%s: got %.60q, %v; want %.60q", key, got, err, want)
	}
}

func (b *bench) wantErr(from record.Getter, key string, kind errs.Kind) error {
	b.t.Helper()
	got, err := read(b.t.Context(), from, b.p, key)
	if err == nil || errs.KindOf(err) != kind {
		b.t.Errorf("%s: got %.60q, %v; want an error of kind %v", key, got, err, kind)
	}
	return err
}

func (b *bench) asked(key string, want int) {
	b.t.Helper()
	if got := b.origin.requests(key); got != want {
		b.t.Errorf("%s: upstream was asked %d times, want %d", key, got, want)
	}
}

// blobs returns how many blobs the depot has, and verifies each.
func (b *bench) blobs() (n int) {
	b.t.Helper()
	ctx := b.t.Context()
	if err := b.store.List(ctx, func(d digest.Digest, _ int64) error { n++; return store.Verify(ctx, b.store, d) }); err != nil {
		b.t.Error(err)
	}
	return n
}
