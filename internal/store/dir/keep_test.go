package dir_test

import (
	"strings"
	"testing"

	"overland/internal/fsx"
	"overland/internal/store"
	"overland/internal/store/dir"
)

// An upload whose id begins like a temporary file is none: it is resumed after a collection.
func TestCollectKeepsEveryUpload(t *testing.T) {
	s, err := dir.Open(t.TempDir(), dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(2) {
		u, err := s.Begin(t.Context(), "put-1", -1)
		if err != nil || u.Offset() != n {
			t.Fatalf("offset %d, %v; want %d", u.Offset(), err, n)
		}
		if _, err := u.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := u.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Collect(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// A file that becomes a blob by its name alone has its bytes on the disk first.
func TestAnAdoptedFileIsDurable(t *testing.T) {
	var ops []string
	path := t.TempDir()
	s, err := dir.Open(path, dir.Options{FS: fsx.FS{Before: func(op fsx.Op) error { ops = append(ops, op.Name); return nil }}})
	if err != nil {
		t.Fatal(err)
	}
	f, err := (fsx.FS{}).Nameless(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("blob"); err != nil {
		t.Fatal(err)
	}
	g, err := s.Stage(t.Context(), f, store.Known{})
	if err != nil {
		t.Fatal(err)
	}
	ops = nil
	if err := g.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ops, " "); got != "sync link syncdir" {
		t.Errorf("operations %q", got)
	}
}
