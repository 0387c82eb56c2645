package cache_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/cache"
	"overland/internal/cache/cachetest"
	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

func TestFacts(t *testing.T) {
	m := &cachetest.Memory{}
	cachetest.Facts(t, func(*testing.T) cache.Facts { return m })
}

// A cache does not open without Facts: nothing that people decided may end up in its index.
func TestFactsAreNeeded(t *testing.T) {
	s, err := storedir.Open(t.TempDir(), storedir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "cache")
	if _, err := cache.Open(t.Context(), dir, s, cache.Options{}); err == nil || errs.KindOf(err) != errs.Internal {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

// news is a protocol with one list that changes.
type news struct{ url string }

func (news) Name() string { return "news" }
func (n news) Item(*http.Request) (record.Item, error) {
	return record.Item{Protocol: "news", Key: "today", Upstream: n.url, Mutable: true}, nil
}

func (n news) ItemOf(string) (record.Item, error) { return n.Item(nil) }

func (news) Check(context.Context, record.Item, io.ReadSeeker, record.Lookup) (lockfile.Proof, error) {
	return lockfile.Proof{}, nil
}

func (news) Serve(_ record.Item, e lockfile.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	return body, e.MediaType, nil
}

func newNews(t *testing.T) news {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "news") }))
	t.Cleanup(srv.Close)
	return news{srv.URL}
}

func open(t *testing.T, dir string, facts cache.Facts) *cache.Cache {
	t.Helper()
	return openAt(t, dir, facts, time.Now())
}

func openAt(t *testing.T, dir string, facts cache.Facts, now time.Time) *cache.Cache {
	t.Helper()
	s, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	c, err := cache.Open(t.Context(), filepath.Join(dir, "cache"), s,
		cache.Options{Facts: facts, Clock: clock.At(now), Upstream: &origin.Client{Transport: transport, Tries: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func get(t *testing.T, c record.Getter, n news) error {
	t.Helper()
	it, err := n.Item(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, b, err := c.Get(t.Context(), n, it)
	if b != nil {
		b.Close()
	}
	return err
}

// When the cache's directory is removed, the cache stays offline and the freezes stay, and what one
// of them stood on is not replaced by today's content.
func TestTheDirectoryIsRemoved(t *testing.T) {
	dir, facts, n := t.TempDir(), &cachetest.Memory{}, newNews(t)
	c := open(t, dir, facts)
	if _, err := c.Freeze(t.Context(), "tuesday", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := get(t, c.View("tuesday"), n); err != nil {
		t.Fatal(err)
	}
	if err := c.SetOffline(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "cache")); err != nil {
		t.Fatal(err)
	}
	c = openAt(t, dir, facts, time.Now().Add(time.Hour))
	if on, err := c.Offline(t.Context()); !on || err != nil {
		t.Errorf("offline %v, %v", on, err)
	}
	if list, err := c.Freezes(t.Context()); err != nil || len(list) != 1 || list[0].Name != "tuesday" {
		t.Errorf("freezes %v, %v", list, err)
	}
	if err := c.SetOffline(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := get(t, c, n); err != nil {
		t.Errorf("the newest: %v", err)
	}
	if err := get(t, c.View("tuesday"), n); errs.KindOf(err) != errs.NotFound || err == nil {
		t.Errorf("of the freeze: %v", err)
	}
}

func change(t *testing.T, dir, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "cache", cache.IndexFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// version1 is an index as the first version made it: with a version of
// "today" that a freeze stands on.
const version1 = `
CREATE TABLE version (
	protocol TEXT NOT NULL, key TEXT NOT NULL, fetched INTEGER NOT NULL,
	checked INTEGER NOT NULL, used INTEGER NOT NULL, held INTEGER NOT NULL, own INTEGER NOT NULL,
	mutable INTEGER NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL, media TEXT NOT NULL,
	proof_kind TEXT NOT NULL, proof TEXT NOT NULL, etag TEXT NOT NULL, modified TEXT NOT NULL,
	PRIMARY KEY (protocol, key, fetched)) WITHOUT ROWID;
CREATE INDEX version_used ON version (used) WHERE held = 1;
CREATE INDEX version_blob ON version (blob);
CREATE TABLE absent (
	protocol TEXT NOT NULL, key TEXT NOT NULL, status INTEGER NOT NULL, until INTEGER NOT NULL,
	PRIMARY KEY (protocol, key)) WITHOUT ROWID;
CREATE TABLE freeze (name TEXT PRIMARY KEY, at INTEGER NOT NULL, made INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE pin (
	name TEXT NOT NULL, protocol TEXT NOT NULL, key TEXT NOT NULL, fetched INTEGER NOT NULL,
	PRIMARY KEY (name, protocol, key)) WITHOUT ROWID;
CREATE TABLE setting (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO version VALUES ('news', 'today', 2000, 2000, 2000, 1, 1, 1, 'BLOB', 3, 'text/plain', '', '', '', '');
INSERT INTO freeze VALUES ('tuesday', 1000, 1000);
INSERT INTO pin VALUES ('tuesday', 'news', 'today', 2000);
INSERT INTO setting VALUES ('offline', 1);
PRAGMA user_version = 1;`

// The facts in an index of version 1 move to Facts, and the freeze keeps its content.
func TestAnIndexOfVersion1(t *testing.T) {
	dir, facts, n := t.TempDir(), &cachetest.Memory{}, newNews(t)
	s, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	d, err := store.PutBytes(t.Context(), s, []byte("old"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "cache"), 0o700); err != nil {
		t.Fatal(err)
	}
	change(t, dir, strings.ReplaceAll(version1, "BLOB", string(d)))
	for range 2 {
		c := open(t, dir, facts)
		if on, err := c.Offline(t.Context()); !on || err != nil {
			t.Errorf("offline %v, %v", on, err)
		}
		it, _ := n.Item(nil)
		e, b, err := c.View("tuesday").Get(t.Context(), n, it)
		if err != nil || e.Blob != d {
			t.Fatalf("of the freeze: %v, %v", e, err)
		}
		b.Close()
	}
	change(t, dir, "CREATE TABLE freeze (gone INTEGER); CREATE TABLE setting (gone INTEGER)") // neither is there any more
}

// An index of an unknown version is recreated: nothing in it is durable.
func TestAnIndexOfAnotherVersion(t *testing.T) {
	dir, facts, n := t.TempDir(), &cachetest.Memory{}, newNews(t)
	c := open(t, dir, facts)
	if err := get(t, c, n); err != nil {
		t.Fatal(err)
	}
	change(t, dir, `PRAGMA user_version = 99; ALTER TABLE version RENAME TO "of the ""future"`)
	if err := get(t, open(t, dir, facts), n); err != nil {
		t.Errorf("made anew: %v", err)
	}
}
