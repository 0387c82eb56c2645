package registry

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/errs"
	storedir "overland/internal/store/dir"
)

// An account that keeps every place for an upload open leaves another one served, and loses nothing by it.
func TestOneAccountTakesAllUploads(t *testing.T) {
	ctx := t.Context()
	r, _, _ := open(t, t.TempDir(), Options{})
	r.mostOpen = 4
	begin := func(account string) string {
		t.Helper()
		id, err := r.Begin(ctx, repo, account, "")
		if err == nil {
			_, err = r.Write(ctx, repo, account, id, -1, strings.NewReader("x"), 1)
		}
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := begin(ann)
	var all []string
	for range 6 {
		all = append(all, begin("eve"))
	}
	if u := r.uploads[first]; u == nil || u.done {
		t.Error("the account with one upload lost it to the one with many")
	}
	if n := len(r.uploads); n != 4 {
		t.Errorf("%d are open", n)
	}
	for _, id := range all {
		if n, err := r.Write(ctx, repo, "eve", id, 1, strings.NewReader("y"), 1); n != 2 || err != nil {
			t.Errorf("one that was closed goes on: %d, %v", n, err)
		}
	}
	// All of them at work: no more come.
	for _, u := range r.uploads {
		<-u.turn
	}
	id, err := r.Begin(ctx, repo, ann, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Offset(ctx, repo, ann, id); CodeOf(err) != TooManyRequests {
		t.Errorf("one more: %v", err)
	}
	for _, u := range r.uploads {
		u.turn <- struct{}{}
	}
}

// An account that begins uploads without end loses its own oldest ones, open or not, with their bytes.
func TestUploadsAreBounded(t *testing.T) {
	ctx := t.Context()
	r, blobs, _ := open(t, t.TempDir(), Options{})
	r.mostUploads = 3
	var all []string
	others, err := r.Begin(ctx, repo, "bob", "")
	for range 6 {
		if err != nil {
			t.Fatal(err)
		}
		var id string
		if id, err = r.Begin(ctx, repo, ann, ""); err == nil {
			_, err = r.Write(ctx, repo, ann, id, -1, strings.NewReader("x"), 1)
		}
		all = append(all, id)
	}
	kept := 0
	if err := blobs.Pending(ctx, "", func(string, int64, time.Time) error { kept++; return nil }); err != nil || kept > 4 {
		t.Errorf("%d files of uploads are left, %v", kept, err)
	}
	gone := 0
	for _, id := range all {
		if _, err := r.Offset(ctx, repo, ann, id); CodeOf(err) == BlobUploadUnknown {
			gone++
		} else if err != nil {
			t.Error(err)
		}
	}
	if gone != 3 {
		t.Errorf("%d of 6 went, not 3", gone)
	}
	if _, err := r.Offset(ctx, repo, "bob", others); err != nil {
		t.Errorf("another account's: %v", err)
	}
}

// A body that does not say how long it is fills the disk no further than one that does.
func TestABodyOfUnknownSizeLeavesRoom(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	_, _, facts := open(t, dir, Options{})
	blobs, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{Reserve: math.MaxInt64 / 2})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(blobs, facts, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	for _, size := range []int64{1, -1} {
		id, err := r.Begin(ctx, repo, ann, "")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.Write(ctx, repo, ann, id, -1, strings.NewReader("x"), size); n != 0 || errs.KindOf(err) != errs.Unavailable {
			t.Errorf("a body of size %d: %d bytes are here, %v", size, n, err)
		}
	}
}
