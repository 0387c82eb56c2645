package site

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"overland/internal/cache"
	"overland/internal/cache/cachetest"
	"overland/internal/home"
)

func TestFacts(t *testing.T) {
	dir := t.TempDir()
	cachetest.Facts(t, func(t *testing.T) cache.Facts {
		d, err := openFacts(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		return facts{d}
	})
}

// What a person told a site is not in the folder that may be removed: it stays offline, and it
// still has the freeze, which says what became of its content.
func TestTheCacheMayBeRemoved(t *testing.T) {
	dir := newSite(t)
	change := func(do func(c *Cache) error) {
		t.Helper()
		c, err := OpenCache(t.Context(), dir)
		if err == nil {
			err = do(c)
		}
		if err == nil {
			err = c.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	change(func(c *Cache) error {
		_, err := c.Freeze(t.Context(), "tuesday", time.Time{})
		return err
	})
	change(func(c *Cache) error { return c.SetOffline(t.Context(), true) })
	if err := os.RemoveAll(home.Cache.In(dir)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond) // the freeze was made in an earlier millisecond than the new index
	addr := make(chan string, 1)
	_, stop := start(t, dir, Options{Cache: CacheOptions{
		Listen: "127.0.0.1:0", Upstreams: map[string][]string{"go": {"http://127.0.0.1:1"}}, Ready: func(a string) { addr <- a },
	}})
	defer stop()
	status, body := get(t, <-addr, "/at/tuesday/go/example.org/x/@v/list")
	if status != 404 || !strings.Contains(body, "tuesday") || strings.Contains(body, "no freeze") {
		t.Errorf("a list as of the freeze: %d %q", status, body)
	}
	change(func(c *Cache) error {
		list, err := c.Freezes(t.Context())
		if err == nil && (len(list) != 1 || list[0].Name != "tuesday") {
			t.Errorf("freezes %v", list)
		}
		return err
	})
	if on := offlineNow(t, dir); !on {
		t.Error("a site that was told to ask nobody asks again")
	}
}

func offlineNow(t *testing.T, dir string) bool {
	t.Helper()
	c, err := LookCache(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	on, err := c.Offline(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return on
}
