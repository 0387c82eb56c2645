package cache_test

import (
	"context"
	"io"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/record"
)

// resolving is a fixture in which i/now stands for what i/release names.
type resolving struct{ fixture }

func (p resolving) Resolve(ctx context.Context, it record.Item, have record.Lookup) (record.Item, error) {
	if it.Key != "i/now" {
		return it, nil
	}
	r, err := have(ctx, "i/release")
	if err != nil {
		return it, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return p.item(string(b)), err
}

func (resolving) Identify(context.Context, record.Item, record.Lookup) (digest.Digest, error) {
	return "", errs.Errorf(errs.NotFound, "nothing is listed")
}

func (resolving) ReadAhead(context.Context, record.Item, record.Lookup) {}

// What a name stands for depends on the client: the newest versions, or a freeze.
func TestResolve(t *testing.T) {
	b := newBench(t, nil)
	p := resolving{b.p}
	b.origin.set("one", "1")
	b.origin.set("two", "2")
	b.origin.set("i/release", "one")
	now := func(from record.Getter, want string) {
		t.Helper()
		_, blob, err := from.Get(t.Context(), p, p.item("i/now"))
		if err != nil {
			t.Error(err)
			return
		}
		defer blob.Close()
		if got, err := io.ReadAll(blob); err != nil || string(got) != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if _, _, err := b.Get(t.Context(), p, p.item("i/now")); errs.KindOf(err) != errs.NotFound {
		t.Errorf("before it is known: %v", err)
	}
	b.want(b, "i/release", "one")
	if _, err := b.Freeze(t.Context(), "first", time.Time{}); err != nil {
		t.Fatal(err)
	}
	b.later(time.Hour)
	b.origin.set("i/release", "two")
	b.want(b, "i/release", "two")
	now(b, "2")
	now(b.View("first"), "1")
}

// The cache opens older versions, and revalidates at once when it is told to.
func TestHistory(t *testing.T) {
	b := newBench(t, nil)
	past := func(n int, want string) {
		t.Helper()
		r, err := b.Past(t.Context(), "fix", "i/x", n)
		if want == "" {
			if errs.KindOf(err) != errs.NotFound {
				t.Errorf("%d: %v", n, err)
			}
			return
		}
		if err != nil {
			t.Errorf("%d: %v", n, err)
			return
		}
		defer r.Close()
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("%d: got %q, %v; want %q", n, got, err, want)
		}
	}
	past(0, "")
	for _, body := range []string{"one", "two", "three"} {
		b.origin.set("i/x", body)
		if err := b.Recheck(t.Context(), "fix", "i/x"); err != nil {
			t.Fatal(err)
		}
		b.want(b, "i/x", body)
	}
	for n, want := range []string{"three", "two", "one", ""} {
		past(n, want)
	}
}

// Binds implements record.Lister: i/release names one thing.
func (p resolving) Binds(ctx context.Context, key string, have record.Lookup) ([]string, error) {
	it, err := p.Resolve(ctx, p.item("i/now"), have)
	return []string{it.Key}, err
}

// What a list in a freeze names is not evicted, although nobody requested it through the freeze.
func TestAFreezeKeepsWhatItsListsName(t *testing.T) {
	b := newBench(t, func(b *bench) { b.o.Limit = 1 })
	p := resolving{b.p}
	b.Serve(p)
	for _, day := range []string{"one", "two", "three"} {
		b.origin.set(day, "content of "+day)
		b.origin.set("i/release", day)
		b.want(b, "i/release", day)
		b.want(b, day, "content of "+day)
		if day == "two" {
			if _, err := b.Freeze(t.Context(), "second", time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		b.later(time.Hour)
	}
	for range 2 { // the second run finds the pins
		if _, err := b.Evict(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.origin.trouble(broken)
	b.want(b.View("second"), "two", "content of two")
	b.wantErr(b, "one", errs.Unavailable)
	b.wantErr(b, "three", errs.Unavailable)
}
