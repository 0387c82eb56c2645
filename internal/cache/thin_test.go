package cache_test

import (
	"strconv"
	"testing"
	"time"

	"overland/internal/cache"
)

// Of a list that changes all the time, the newest versions stay, the last one of each day, and what
// freezes stand on.
func TestThin(t *testing.T) {
	b := newBench(t, nil)
	count := func() int {
		t.Helper()
		rows, err := b.Rows(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	const perDay, days = 24, 6
	b.now = time.Date(2026, 1, 6, 0, 30, 0, 0, time.UTC)
	last := map[int]string{}
	for n := range perDay * days {
		b.origin.set("i/list", strconv.Itoa(n))
		b.want(b, "i/list", strconv.Itoa(n))
		last[n/perDay] = strconv.Itoa(n)
		if n == 30 {
			if _, err := b.Freeze(t.Context(), "then", time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		b.later(time.Hour)
	}
	if _, err := b.Thin(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The newest 50 reach into the fourth day; before that, the last of each of three days
	// and a half, and the frozen one.
	if n := count(); n < cache.KeepNewest+4 || n > cache.KeepNewest+6 || b.blobs() != n {
		t.Errorf("%d versions and %d blobs of %d are left", n, b.blobs(), perDay*days)
	}
	b.want(b.View("then"), "i/list", "30")
	for day, want := range last {
		at := time.Date(2026, 1, 6+day, 23, 59, 0, 0, time.UTC)
		name := "day" + strconv.Itoa(day)
		if _, err := b.Freeze(t.Context(), name, at); err != nil {
			t.Fatal(err)
		}
		b.want(b.View(name), "i/list", want)
	}
	before := count()
	if n, err := b.Thin(t.Context()); err != nil || n != 0 || count() != before {
		t.Errorf("again: %d dropped, %v", n, err)
	}
}
