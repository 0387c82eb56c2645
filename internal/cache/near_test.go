package cache_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"overland/internal/cache"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
	"overland/internal/store/storetest"
)

// beside is a Near that answers as a test tells it, and puts blobs into the depot.
type beside struct {
	depot  cache.Depot
	things map[string]string
	f      func(f *cache.Found) // changes its answer
	err    error
	mu     sync.Mutex
	asked  int
}

func (n *beside) Find(ctx context.Context, _, key string, _ int64, heard func()) (cache.Found, bool, error) {
	n.mu.Lock()
	n.asked++
	n.mu.Unlock()
	heard()
	body, ok := n.things[key]
	if n.err != nil || !ok {
		return cache.Found{}, false, errs.E(errs.NotFound, context.Cause(ctx))
	}
	d := digest.Of([]byte(body))
	had, err := store.Has(ctx, n.depot, d)
	if err != nil {
		return cache.Found{}, false, err
	}
	if _, err := store.PutBytes(ctx, n.depot, []byte(body)); err != nil {
		return cache.Found{}, false, err
	}
	f := cache.Found{Blob: d, Size: int64(len(body)), MediaType: "text/plain"}
	if n.f != nil {
		n.f(&f)
	}
	return f, !had, nil
}

func newBeside(t *testing.T, change func(*bench)) (*bench, *beside) {
	n := &beside{things: map[string]string{}}
	b := newBench(t, func(b *bench) {
		b.o.Near = n
		if change != nil {
			change(b)
		}
	})
	n.depot = b.store
	return b, n
}

// The origin is asked only for what is not near.
func TestNearComesFirst(t *testing.T) {
	b, n := newBeside(t, nil)
	n.things["a"], n.things["i/list"] = "near a", "near list"
	b.origin.set("a", "near a")
	b.origin.set("b", "far b")
	b.want(b, "a", "near a")
	b.want(b, "a", "near a")
	b.want(b, "b", "far b")
	b.want(b, "i/list", "near list")
	b.asked("a", 0)
	b.asked("b", 1)
	b.asked("i/list", 0)
	if n.asked != 3 {
		t.Errorf("near was asked %d times", n.asked)
	}
	n.things["i/list"] = "near list 2"
	b.later(time.Hour)
	b.want(b, "i/list", "near list 2")
	n.err = errs.Errorf(errs.Unavailable, "it is dead")
	b.later(time.Hour)
	b.origin.trouble(broken)
	b.want(b, "i/list", "near list 2")
}

// A near copy is checked like one from the origin. If it fails, nothing of it is
// left, and the origin is asked.
func TestNearLies(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		f    func(*cache.Found)
	}{
		"a proof that fails": {"BAD", nil},
		"a page":             {"<!doctype html><title>log in</title>", nil},
		"another size":       {"near a", func(f *cache.Found) { f.Size++ }},
		"no blob":            {"near a", func(f *cache.Found) { f.Blob = digest.Of([]byte("nothing")) }},
	} {
		b, n := newBeside(t, nil)
		b.origin.set("a", "far a")
		n.things["a"], n.f = c.body, c.f
		b.want(b, "a", "far a")
		if blobs := b.blobs(); blobs != 1 && name != "no blob" {
			t.Errorf("%s: %d blobs in the depot", name, blobs)
		}
	}
}

// What never changes does not come back with other bytes after it was evicted.
func TestNearChanges(t *testing.T) {
	b, n := newBeside(t, func(b *bench) { b.o.Limit = 1 })
	n.things["a"] = "first"
	b.want(b, "a", "first")
	b.later(time.Hour)
	if _, err := b.Evict(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.things["a"] = "other"
	b.want(b, "a", "404") // the origin has it no more
	if b.blobs() != 0 {
		t.Error("it was kept")
	}
	b.origin.set("a", "first")
	b.later(time.Hour) // "no such thing" is forgotten
	b.want(b, "a", "first")
}

// Blobs that others brought count towards the limit, and the least recently used one is evicted.
func TestHeldBlobsAreEvicted(t *testing.T) {
	b := newBench(t, func(b *bench) { b.o.Limit = 8 })
	for _, body := range []string{"first", "second"} {
		d, err := store.PutBytes(t.Context(), b.store, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Hold(t.Context(), "blob", string(d), d, int64(len(body))); err != nil {
			t.Fatal(err)
		}
		b.later(time.Hour)
	}
	b.Used("blob", string(digest.Of([]byte("first"))))
	b.Used("blob", "never held")
	b.later(time.Hour)
	if _, err := b.Evict(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := b.store; !storetest.Has(t, s, digest.Of([]byte("first"))) || storetest.Has(t, s, digest.Of([]byte("second"))) {
		t.Error("not the one that was used last is left")
	}
}

// While many clients read and eviction runs, every answer is right, and
// the size stays near the limit.
func TestEvictionWhileManyRead(t *testing.T) {
	const keys, readers, rounds = 24, 4, 2
	b, n := newBeside(t, func(b *bench) { b.o.Limit = 10 * 1000 })
	body := func(k int) string { return strings.Repeat(strconv.Itoa(k%10), 900+k) }
	for k := range keys {
		key := "k" + strconv.Itoa(k)
		if k%2 == 0 {
			n.things[key] = body(k)
		}
		b.origin.set(key, body(k))
	}
	stop := make(chan struct{})
	var evicting, reading sync.WaitGroup
	evicting.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			b.later(2 * cache.Recent)
			if _, err := b.Evict(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	for r := range readers {
		reading.Go(func() {
			for i := range keys * rounds {
				k := (i*7 + r*11) % keys
				got, err := read(t.Context(), b, b.p, "k"+strconv.Itoa(k))
				if err != nil || got != body(k) {
					t.Errorf("k%d: %d bytes, %v", k, len(got), err)
				}
			}
		})
	}
	reading.Wait()
	close(stop)
	evicting.Wait()
	b.later(time.Hour)
	if _, err := b.Evict(t.Context()); err != nil {
		t.Fatal(err)
	}
	if size, err := b.Size(t.Context()); err != nil || size > b.o.Limit {
		t.Errorf("%d bytes are held, %v", size, err)
	}
	if n := b.blobs(); n > 12 {
		t.Errorf("%d blobs are left", n)
	}
}

func FuzzParseFound(f *testing.F) {
	f.Add([]byte(`{"blob":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"mediaType":"text/plain"}`))
	f.Add([]byte(`{"blob":"../../x","size":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := cache.ParseFound(b)
		if err != nil {
			return
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := cache.ParseFound(text); len(text) <= cache.FoundLimit && (err != nil || again != got) {
			t.Errorf("%+v becomes %+v, %v", got, again, err)
		}
	})
}
