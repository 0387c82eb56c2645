package dbtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/db"
	"overland/internal/errs"
)

// Open returns an empty database, or one more DB of the same database when it is called again with
// the same t. The test closes each.
type Open func(t *testing.T) *db.DB

// Run runs the suite on the engine that open opens.
func Run(t *testing.T, open Open) {
	t.Run("freezes", func(t *testing.T) { freezes(t, opened(t, open)) })
	t.Run("offline", func(t *testing.T) { offline(t, opened(t, open)) })
	t.Run("access", func(t *testing.T) { access(t, opened(t, open)) })
	t.Run("events", func(t *testing.T) { events(t, opened(t, open)) })
	t.Run("registry", func(t *testing.T) { images(t, opened(t, open)) })
	t.Run("sweep", func(t *testing.T) { sweep(t, opened(t, open)) })
	t.Run("untagged", func(t *testing.T) { untagged(t, opened(t, open)) })
	t.Run("uploads", func(t *testing.T) { uploads(t, opened(t, open)) })
	t.Run("logins", func(t *testing.T) { logins(t, opened(t, open)) })
	t.Run("reopened", func(t *testing.T) { reopened(t, open) })
	t.Run("writers", func(t *testing.T) { writers(t, opened(t, open), opened(t, open)) })
	t.Run("cancelled", func(t *testing.T) { cancelled(t, opened(t, open)) })
}

func opened(t *testing.T, open Open) *db.DB {
	t.Helper()
	d := open(t)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// value returns v, or ends the test.
func value[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: -want +got\n%s", what, d)
	}
}

// at returns a moment in whole milliseconds; its zone is the one that the queries give.
func at(milli int64) time.Time { return time.UnixMilli(milli) }

func freezes(t *testing.T, d *db.DB) {
	ctx := t.Context()
	same(t, "none", value[[]db.Freeze](t)(d.Freezes(ctx)), []db.Freeze(nil))
	if _, err := d.Freeze(ctx, "tuesday"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a freeze that is not there: %v", err)
	}
	tuesday, monday := db.Freeze{Name: "tuesday", At: at(2000), Made: at(3000)}, db.Freeze{Name: "monday", At: at(-1), Made: at(4000)}
	must(t, d.AddFreeze(ctx, tuesday))
	must(t, d.AddFreeze(ctx, monday))
	must(t, d.AddFreeze(ctx, db.Freeze{Name: "tuesday", At: at(9), Made: at(9)})) // the first one stays
	same(t, "one", value[db.Freeze](t)(d.Freeze(ctx, "tuesday")), tuesday)
	same(t, "all", value[[]db.Freeze](t)(d.Freezes(ctx)), []db.Freeze{monday, tuesday})
	must(t, d.RemoveFreeze(ctx, "tuesday"))
	must(t, d.RemoveFreeze(ctx, "tuesday"))
	same(t, "the other", value[[]db.Freeze](t)(d.Freezes(ctx)), []db.Freeze{monday})
}

func offline(t *testing.T, d *db.DB) {
	for i, want := range []bool{false, true, true, false} {
		if i > 0 {
			must(t, d.SetOffline(t.Context(), want))
		}
		same(t, fmt.Sprint("offline ", i), value[bool](t)(d.Offline(t.Context())), want)
	}
}

func access(t *testing.T, d *db.DB) {
	ctx := t.Context()
	alice, bob := db.Account{Identity: "aa", Name: "alice", Prefixes: []string{"x:", `"y`}}, db.Account{Identity: "bb", Name: "bob", Prefixes: []string{}}
	lost, stolen := db.Revoked{KeyID: "1", Since: at(1000)}, db.Revoked{KeyID: "2", PublicKey: "PEM", Since: at(2000)}
	must(t, d.SetAccess(ctx, []db.Account{bob, alice, {Identity: "aa", Name: "twice"}}, []db.Revoked{stolen, lost}))
	same(t, "accounts", value[[]db.Account](t)(d.Accounts(ctx)), []db.Account{alice, bob})
	same(t, "revoked", value[[]db.Revoked](t)(d.Revoked(ctx)), []db.Revoked{lost, stolen})
	must(t, d.SetAccess(ctx, nil, []db.Revoked{{KeyID: "2", PublicKey: "NEW", Since: at(5000)}}))
	same(t, "no accounts", value[[]db.Account](t)(d.Accounts(ctx)), []db.Account(nil))
	same(t, "one revoked, since then", value[[]db.Revoked](t)(d.Revoked(ctx)), []db.Revoked{{KeyID: "2", PublicKey: "NEW", Since: at(2000)}})
	must(t, d.SetAccess(ctx, nil, nil))
	same(t, "none revoked", value[[]db.Revoked](t)(d.Revoked(ctx)), []db.Revoked(nil))
}

func events(t *testing.T, d *db.DB) {
	ctx := t.Context()
	one := func(n int64) db.Event {
		return db.Event{
			Time: at(n), Action: "entry", Result: "stored", Account: "alice", Remote: "[::1]:80", Key: "k'\x01ü", SHA512: "ab", Size: 1 << 40,
			Signer: "s",
		}
	}
	for _, n := range []int64{1, 3, 2, 3} {
		must(t, d.AddEvent(ctx, one(n)))
	}
	same(t, "newest", value[[]db.Event](t)(d.Events(ctx, 3)), []db.Event{one(3), one(3), one(2)})
	must(t, d.TrimEvents(ctx, 3))
	same(t, "the oldest goes", value[[]db.Event](t)(d.Events(ctx, 9)), []db.Event{one(3), one(3), one(2)})
	must(t, d.TrimEvents(ctx, 3))
	for range 2 { // the second time nothing is new
		must(t, d.ImportEvents(ctx, []db.Event{one(0), one(4)}))
	}
	same(t, "imported", value[[]db.Event](t)(d.Events(ctx, 9)), []db.Event{one(4), one(3), one(3), one(2), one(0)})
	must(t, d.TrimEvents(ctx, 3))
	same(t, "the rest stays", len(value[[]db.Event](t)(d.Events(ctx, 9))), 3)
}

// reopened finds all of it again.
func reopened(t *testing.T, open Open) {
	ctx := t.Context()
	d := open(t)
	f := db.Freeze{Name: "f", At: at(1), Made: at(2)}
	must(t, d.AddFreeze(ctx, f))
	must(t, d.SetOffline(ctx, true))
	must(t, d.Close())
	d = opened(t, open)
	same(t, "freezes", value[[]db.Freeze](t)(d.Freezes(ctx)), []db.Freeze{f})
	same(t, "offline", value[bool](t)(d.Offline(ctx)), true)
}

// writers come at once, of two processes as it were: nobody is refused, and nothing is lost.
func writers(t *testing.T, a, b *db.DB) {
	const each = 20
	var all sync.WaitGroup
	for i, d := range []*db.DB{a, b, a, b} {
		all.Go(func() {
			for n := range each {
				err := d.AddFreeze(t.Context(), db.Freeze{Name: fmt.Sprint(i, "-", n)})
				if err == nil {
					err = d.SetAccess(t.Context(), []db.Account{{Identity: fmt.Sprint(i)}}, nil)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	same(t, "freezes", len(value[[]db.Freeze](t)(a.Freezes(t.Context()))), 4*each)
	same(t, "accounts", len(value[[]db.Account](t)(b.Accounts(t.Context()))), 1)
}

// cancelled says so, in the kind that callers branch on.
func cancelled(t *testing.T, d *db.DB) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Freezes(ctx); errs.KindOf(err) != errs.Cancelled {
		t.Errorf("got %v", err)
	}
	if err := d.SetAccess(ctx, nil, nil); errs.KindOf(err) != errs.Cancelled {
		t.Errorf("got %v", err)
	}
}
