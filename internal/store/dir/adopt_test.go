package dir_test

import (
	"io"
	"os"
	"testing"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// spooled returns a nameless file in dir that holds b.
func spooled(t *testing.T, dir string, b []byte) *os.File {
	t.Helper()
	f, err := (fsx.FS{}).Nameless(dir, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestStaged(t *testing.T) {
	t.Parallel()
	b := noise(storedir.Large+3, 4)
	other := t.TempDir()
	for name, dir := range map[string]func(s *storedir.Store) string{
		"on the depot's disk":  func(s *storedir.Store) string { return s.Dir() },
		"in another folder":    func(*storedir.Store) string { return other },
		"on another disk":      func(*storedir.Store) string { return "/dev/shm" },
		"that was there":       func(s *storedir.Store) string { put(t, s, b); return s.Dir() },
		"there, with a length": func(s *storedir.Store) string { tear(t, s, b); return s.Dir() },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			g, err := s.Stage(t.Context(), spooled(t, dir(s), b), store.Known{})
			if err != nil || g.Size() != int64(len(b)) || g.Digest() != digest.Of(b) {
				t.Fatalf("%v, %v", g, err)
			}
			early, err := g.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer early.Close()
			if err := g.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := store.Verify(t.Context(), s, g.Digest()); err != nil {
				t.Error(err)
			}
			if got, err := io.ReadAll(early); err != nil || digest.Of(got) != g.Digest() {
				t.Errorf("what was opened before has %d bytes, %v", len(got), err)
			}
			path := blobPath(s, g.Digest())
			if info, err := os.Stat(path); err != nil || info.Mode() != storedir.BlobMode {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			checkClean(t, s)
		})
	}
}

func put(t *testing.T, s *storedir.Store, b []byte) {
	t.Helper()
	if _, err := store.PutBytes(t.Context(), s, b); err != nil {
		t.Fatal(err)
	}
}

// tear leaves half of b under its name, as no process of ours does.
func tear(t *testing.T, s *storedir.Store, b []byte) {
	t.Helper()
	path := blobPath(s, digest.Of(b))
	if err := os.WriteFile(path, b[:len(b)/2], storedir.BlobMode); err != nil {
		t.Fatal(err)
	}
}

func TestAStagedBlobKeepsWhatOthersHold(t *testing.T) {
	t.Parallel()
	s := open(t)
	stage := func() error {
		g, err := s.Stage(t.Context(), spooled(t, s.Dir(), next), store.Known{})
		if err != nil {
			return err
		}
		return g.Commit(t.Context())
	}
	if err := stage(); err != nil {
		t.Fatal(err)
	}
	path := blobPath(s, digest.Of(next))
	old, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := stage(); err != nil {
		t.Fatal(err)
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(old, now) {
		t.Errorf("the blob became another file: %v", err)
	}
}
