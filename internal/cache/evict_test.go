package cache_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"overland/internal/cache"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
	"overland/internal/store/storetest"
)

func TestEvictsLongestUnused(t *testing.T) {
	roots := map[digest.Digest]bool{digest.Of([]byte("root1")): true}
	b := newBench(t, func(b *bench) {
		b.o.Limit = 15
		b.o.Roots = func(context.Context) (map[digest.Digest]bool, error) { return roots, nil }
	})
	if _, err := store.PutBytes(t.Context(), b.store, []byte("other")); err != nil {
		t.Fatal(err)
	}
	for key, body := range map[string]string{"root": "root1", "a": "aaaaa", "b": "bbbbb", "c": "ccccc", "same": "aaaaa", "other": "other"} {
		b.origin.set(key, body)
	}
	for _, key := range []string{"root", "other", "a", "same", "b"} {
		b.want(b, key, b.origin.things[key])
		b.later(time.Hour)
	}
	b.want(b, "a", "aaaaa") // used again: b is older now
	b.later(time.Hour)
	b.want(b, "c", "ccccc")
	b.later(time.Hour)
	if _, err := b.Evict(t.Context()); err != nil {
		t.Fatal(err)
	}
	if size, err := b.Size(t.Context()); err != nil || size > 15 {
		t.Errorf("%d bytes are held, %v", size, err)
	}
	b.origin.trouble(broken)
	b.want(b, "root", "root1")
	b.want(b, "other", "other")
	b.want(b, "c", "ccccc")
	b.wantErr(b, "b", errs.Unavailable)
}

// A client that was just given an answer may be about to open it.
func TestWhatWasJustUsedStays(t *testing.T) {
	b := newBench(t, func(b *bench) { b.o.Limit = 1 })
	b.origin.set("a", "aaaaa")
	b.want(b, "a", "aaaaa")
	for _, c := range []struct {
		after time.Duration
		freed int64
	}{{59 * time.Second, 0}, {2 * time.Second, 5}} {
		b.later(c.after)
		if n, err := b.Evict(t.Context()); err != nil || n != c.freed {
			t.Errorf("after %s: %d bytes, %v", c.after, n, err)
		}
	}
}

// When it is not known what must stay, nothing is evicted.
func TestEvictsNothingWithoutRoots(t *testing.T) {
	lost := errors.New("the trust folder is gone")
	b := newBench(t, func(b *bench) {
		b.o.Limit = 1
		b.o.Roots = func(context.Context) (map[digest.Digest]bool, error) { return nil, lost }
	})
	b.origin.set("a", "aaaaa")
	b.want(b, "a", "aaaaa")
	b.later(time.Hour)
	if _, err := b.Evict(t.Context()); !errors.Is(err, lost) {
		t.Errorf("got %v", err)
	}
	b.origin.trouble(broken)
	b.want(b, "a", "aaaaa")
}

// A blob that another process stores during an eviction stays, although the roots were read before.
func TestWhatIsPutMeanwhileStays(t *testing.T) {
	for _, what := range []string{"evict", "thin", "disown"} {
		body := map[bool]string{true: "BAD", false: "aaaaa"}[what == "disown"]
		d := digest.Of([]byte(body))
		var put func()
		b, n := newBeside(t, func(b *bench) {
			b.o.Limit = 1
			b.o.Roots = func(ctx context.Context) (map[digest.Digest]bool, error) {
				if put != nil {
					put()
				}
				return nil, nil
			}
		})
		put = func() {
			if _, err := store.PutBytes(t.Context(), b.store, []byte(body)); err != nil {
				t.Error(err)
			}
			if err := b.store.Touch(d); err != nil {
				t.Error(err)
			}
		}
		switch what {
		case "evict":
			b.origin.set("a", body)
			b.want(b, "a", body)
			b.later(time.Hour)
			if freed, err := b.Evict(t.Context()); err != nil || freed != 0 {
				t.Errorf("%d bytes were freed, %v", freed, err)
			}
		case "thin":
			b.origin.set("i/list", body)
			b.want(b, "i/list", body)
			for i := range cache.KeepNewest + 2 {
				b.later(time.Minute * 6)
				b.origin.set("i/list", strconv.Itoa(i))
				b.want(b, "i/list", strconv.Itoa(i))
			}
			b.later(time.Hour)
			if n, err := b.Thin(t.Context()); err != nil || n == 0 {
				t.Errorf("%d versions were dropped, %v", n, err)
			}
		case "disown":
			n.things["a"] = body
			b.origin.set("a", "far")
			b.want(b, "a", "far")
		}
		if !storetest.Has(t, b.store, d) {
			t.Errorf("%s: it is lost", what)
		}
	}
}

// A blob that fails its proof is removed only when nothing else needs it.
func TestDisownedButNeeded(t *testing.T) {
	d := digest.Of([]byte("BAD"))
	b, n := newBeside(t, func(b *bench) {
		b.o.Roots = func(context.Context) (map[digest.Digest]bool, error) { return map[digest.Digest]bool{d: true}, nil }
	})
	n.things["a"] = "BAD"
	b.origin.set("a", "far")
	b.want(b, "a", "far")
	if !storetest.Has(t, b.store, d) {
		t.Error("it is lost")
	}
}

func TestFreeze(t *testing.T) {
	b := newBench(t, func(b *bench) { b.o.Limit = 1 })
	ctx := t.Context()
	day := func(n string) {
		b.origin.set("i/release", n)
		b.origin.set("i/packages", n+": a")
		b.want(b, "i/release", n)
		b.want(b, "i/packages", n+": a")
	}
	day("monday")
	b.later(24 * time.Hour)
	day("tuesday")
	tuesday := b.o.Clock()
	b.later(24 * time.Hour)
	if _, err := b.Freeze(ctx, "tuesday", tuesday); err != nil {
		t.Fatal(err)
	}
	day("wednesday")
	b.later(24 * time.Hour)
	w := b.View("tuesday")
	check := func() {
		t.Helper()
		b.want(w, "i/release", "tuesday")
		b.want(w, "i/packages", "tuesday: a")
	}
	if freed, err := b.Evict(ctx); err != nil || freed == 0 {
		t.Errorf("monday stays: %d, %v", freed, err)
	}
	check()
	b.want(b, "i/release", "wednesday")
	b.origin.trouble(broken)
	b.reopen()
	w = b.View("tuesday")
	check()
	b.wantErr(w, "i/unknown", errs.NotFound) // and not what upstream has today
	b.origin.trouble(nil)

	// What never changes stays too, once it was requested through a freeze.
	b.origin.set("a.zip", "alpha")
	b.want(w, "a.zip", "alpha")
	b.later(time.Hour)
	if _, err := b.Evict(ctx); err != nil {
		t.Fatal(err)
	}
	b.origin.trouble(broken)
	b.want(w, "a.zip", "alpha")

	if _, err := b.Freeze(ctx, "tuesday", tuesday); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if _, err := b.Freeze(ctx, "tuesday", tuesday.Add(time.Hour)); errs.KindOf(err) != errs.Conflict {
		t.Errorf("another moment: %v", err)
	}
	for _, name := range []string{"", "../x", "A", "a/b"} {
		if _, err := b.Freeze(ctx, name, tuesday); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := b.Freeze(ctx, "future", b.o.Clock().Add(time.Hour)); errs.KindOf(err) != errs.Invalid {
		t.Errorf("future: %v", err)
	}
	if err := b.Thaw(ctx, "tuesday"); err != nil {
		t.Fatal(err)
	}
	b.wantErr(w, "i/release", errs.NotFound)
	if list, err := b.Freezes(ctx); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// A freeze of "now" takes what it lacks from upstream, once, and only if it fits the rest.
func TestFreezeOfNow(t *testing.T) {
	b := newBench(t, nil)
	if _, err := b.Freeze(t.Context(), "now", time.Time{}); err != nil {
		t.Fatal(err)
	}
	b.later(time.Hour)
	w := b.View("now")
	b.origin.set("i/release", "one")
	b.want(w, "i/release", "one")
	b.origin.set("i/release", "two")
	b.origin.set("i/packages", "two: a")
	b.later(time.Hour)
	b.want(b, "i/release", "two")
	b.want(w, "i/release", "one")
	b.want(b, "i/packages", "two: a")
	b.wantErr(w, "i/packages", errs.Untrusted)
}
