package cache_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"overland/internal/cache"
	"overland/internal/cache/cachetest"
	"overland/internal/fsx"
	"overland/internal/origin"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/crash"
)

// play asks for k0, k1, … and says so when a change of the disk begins, until it is killed.
func play(dir, upstream string) error {
	tell := func(fsx.Op) error { fmt.Println("op"); return nil }
	s, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{FS: fsx.FS{Before: tell}})
	if err != nil {
		return err
	}
	ctx := context.Background()
	c, err := cache.Open(ctx, filepath.Join(dir, "cache"), s, cache.Options{
		Facts: &cachetest.Memory{}, Upstream: &origin.Client{Transport: &http.Transport{}},
	})
	if err != nil {
		return err
	}
	for n := range 1000 {
		if _, err := read(ctx, c, fixture{upstream}, fmt.Sprint("k", n)); err != nil {
			return err
		}
	}
	return c.Close()
}

// Killed at any step of storing, the cache has whole blobs only, and every
// row of its index has its blob.
func TestKilled(t *testing.T) {
	b := newBench(t, nil)
	for n := range 1000 {
		b.origin.set(fmt.Sprint("k", n), fmt.Sprint("body of ", n))
	}
	for step := 1; step <= 20; step++ {
		if _, err := crash.Killed(crash.Other("OVERLAND_CACHE_TEST", b.dir+" "+b.origin.URL), step, nil); err != nil {
			t.Fatal(err)
		}
		b.blobs()
	}
	rows, err := b.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, v := range rows {
		if !v.Held {
			continue
		}
		n++
		if size, err := b.store.Stat(t.Context(), v.Blob); err != nil || size != v.Size {
			t.Errorf("%s: %d bytes, %v; want %d", v.Key, size, err, v.Size)
		}
	}
	if n == 0 {
		t.Error("nothing was stored in 20 runs")
	}
	b.origin.trouble(broken)
	b.want(b, "k0", "body of 0")
}
