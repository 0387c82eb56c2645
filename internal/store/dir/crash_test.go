package dir_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/store/storetest"
)

var errDead = errors.New("the process is dead")

// changes are what a depot is put through, one operation failing. Each returns its error; done
// judges a depot in which it succeeded.
var changes = map[string]struct {
	do   func(t *testing.T, s *storedir.Store) error
	done func(t *testing.T, s *storedir.Store) bool
}{
	"put": {
		func(t *testing.T, s *storedir.Store) error {
			_, err := store.PutBytes(t.Context(), s, next)
			return err
		},
		func(t *testing.T, s *storedir.Store) bool { return storetest.Has(t, s, digest.Of(next)) },
	},
	"staged": {
		func(t *testing.T, s *storedir.Store) error {
			f, err := s.FS().Nameless(s.Dir(), 0o600)
			if err != nil {
				return fsx.Full(err)
			}
			defer f.Close()
			if _, err := f.Write(next); err != nil {
				return err
			}
			g, err := s.Stage(t.Context(), f, store.Known{})
			if err != nil {
				return err
			}
			return g.Commit(t.Context())
		},
		func(t *testing.T, s *storedir.Store) bool { return storetest.Has(t, s, digest.Of(next)) },
	},
	"ingest": {
		func(t *testing.T, s *storedir.Store) error {
			i, err := store.Resume(t.Context(), s, digest.Of(next), int64(len(next)))
			if errors.Is(err, store.ErrExists) {
				return nil
			}
			if err != nil {
				return err
			}
			defer i.Close()
			if _, err := io.Copy(i, bytes.NewReader(next[i.Offset():])); err != nil {
				return err
			}
			return i.Commit(t.Context(), digest.Of(next))
		},
		func(t *testing.T, s *storedir.Store) bool { return storetest.Has(t, s, digest.Of(next)) },
	},
	"tag": {
		func(t *testing.T, s *storedir.Store) error { return s.Tag(t.Context(), "a", desc(next)) },
		func(t *testing.T, s *storedir.Store) bool {
			d, err := s.Resolve(t.Context(), "a")
			return err == nil && d.Digest == digest.Of(next)
		},
	},
	"place": {
		func(t *testing.T, s *storedir.Store) error {
			return s.Place(t.Context(), digest.Of(first), filepath.Join(s.Dir(), "placed"), 0o755)
		},
		func(t *testing.T, s *storedir.Store) bool {
			b, err := os.ReadFile(filepath.Join(s.Dir(), "placed"))
			return err == nil && bytes.Equal(b, first)
		},
	},
}

var first, next = noise(1000, 1), noise(2*storedir.BufferSize+1, 2)

// furnish makes a depot with one blob, tagged a and kept.
func furnish(t *testing.T) string {
	t.Helper()
	s := open(t)
	if _, err := store.PutBytes(t.Context(), s, first); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "kept"} {
		if err := s.Tag(t.Context(), name, desc(first)); err != nil {
			t.Fatal(err)
		}
	}
	return s.Dir()
}

// intact fails the test unless the depot in dir opens, every blob in it is itself, and what was
// there is there.
func intact(t *testing.T, dir string) *storedir.Store {
	t.Helper()
	s, err := storedir.Open(dir, storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.List(t.Context(), func(d digest.Digest, _ int64) error { return store.Verify(t.Context(), s, d) }); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Resolve(t.Context(), "kept"); err != nil || d.Digest != digest.Of(first) || !storetest.Has(t, s, d.Digest) {
		t.Fatalf("what was there: %v, %v", d.Digest, err)
	}
	if d, err := s.Resolve(t.Context(), "a"); err != nil || (d.Digest != digest.Of(first) && d.Digest != digest.Of(next)) {
		t.Fatalf("the tag is neither old nor new: %v, %v", d.Digest, err)
	}
	return s
}

// Whichever operation fails, or is the last before kill -9: the depot is intact, and a later
// attempt succeeds.
func TestFailsAnywhere(t *testing.T) {
	t.Parallel()
	for name, change := range changes {
		for _, c := range []struct {
			err  error
			dead bool
			kind errs.Kind
		}{{syscall.ENOSPC, false, errs.Unavailable}, {errDead, true, errs.Internal}} {
			t.Run(fmt.Sprint(name, ": ", c.err), func(t *testing.T) {
				for n := 1; ; n++ {
					dir := furnish(t)
					count := 0
					failing := fsx.FS{Before: func(fsx.Op) error {
						if count++; count == n || c.dead && count > n {
							return c.err
						}
						return nil
					}}
					s, err := storedir.Open(dir, storedir.Options{FS: failing})
					if err != nil {
						t.Fatal(err)
					}
					err = change.do(t, s)
					after := intact(t, dir)
					if err == nil {
						if count < n && !change.done(t, after) {
							t.Error("said done, and is not")
						}
						if count < n {
							t.Logf("%d operations tried", n-1)
							return
						}
						t.Errorf("operation %d failed and nobody said so", n)
					}
					if got := errs.KindOf(err); got != c.kind {
						t.Errorf("operation %d: %v: %v, want %v", n, err, got, c.kind)
					}
					if err := change.do(t, after); err != nil || !change.done(t, after) {
						t.Fatalf("operation %d: the next attempt: %v", n, err)
					}
					intact(t, dir)
				}
			})
		}
	}
}

// A photograph of the disk before every operation is a depot that opens, with nothing half in it:
// what kill -9 at that moment leaves, temporary files and all.
func TestPhotographs(t *testing.T) {
	t.Parallel()
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			dir := furnish(t)
			taken := 0
			album := t.TempDir()
			camera := fsx.FS{Before: func(fsx.Op) error {
				taken++
				return os.CopyFS(filepath.Join(album, fmt.Sprint(taken)), os.DirFS(dir))
			}}
			s, err := storedir.Open(dir, storedir.Options{FS: camera})
			if err != nil {
				t.Fatal(err)
			}
			if err := change.do(t, s); err != nil {
				t.Fatal(err)
			}
			for n := 1; n <= taken; n++ {
				photo := intact(t, filepath.Join(album, fmt.Sprint(n)))
				if err := change.do(t, photo); err != nil || !change.done(t, photo) {
					t.Fatalf("photograph %d: the next attempt: %v", n, err)
				}
				if _, err := photo.Collect(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				checkClean(t, photo)
			}
			t.Logf("%d photographs", taken)
		})
	}
}

// A service may run from a hard link while its blob is put again: the file stays the same one.
func TestPutAgainKeepsTheFile(t *testing.T) {
	s := open(t)
	d, err := store.PutBytes(t.Context(), s, first)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir(), "blobs", "sha256", d.Encoded())
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Put(t.Context(), bytes.NewReader(first), "", -1); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("another file: %v", err)
	}
	checkClean(t, s)
}
