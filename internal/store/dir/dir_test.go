package dir_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/store/storetest"
)

func noise(n int, seed int64) []byte { return storetest.Noise(n, seed) }

func desc(b []byte) ocispec.Descriptor { return storetest.Describe(b) }

func open(t *testing.T) *storedir.Store {
	t.Helper()
	s, err := storedir.Open(t.TempDir(), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T) func() store.Store {
			path := t.TempDir()
			return func() store.Store {
				s, err := storedir.Open(path, storedir.Options{})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
		},
		Damage: func(t *testing.T, s store.Store, d digest.Digest) {
			path := blobPath(s.(*storedir.Store), d)
			b, err := os.ReadFile(path)
			if err == nil {
				b[77] ^= 1
				err = errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, b, 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	})
}

func blobPath(s *storedir.Store, d digest.Digest) string {
	return filepath.Join(s.Dir(), "blobs", "sha256", d.Encoded())
}

func TestPutLeavesOnlyTheBlob(t *testing.T) {
	s := open(t)
	d := storetest.Put(t, s, noise(3*storedir.BufferSize+17, 1))
	if info, err := os.Stat(blobPath(s, d)); err != nil || info.Mode() != storedir.BlobMode {
		t.Errorf("blob's mode: %v, %v", info.Mode(), err)
	}
	if _, _, err := s.Put(t.Context(), storetest.Endless{}, d, 1000); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("Put of other bytes: %v", err)
	}
	checkClean(t, s)
}

// A file of zero bytes is what a power cut leaves of a blob that was not synced: a Put of known
// size replaces it.
func TestATornBlobIsReplaced(t *testing.T) {
	s := open(t)
	b := noise(5000, 3)
	d := storetest.Put(t, s, b)
	if err := errors.Join(os.Chmod(blobPath(s, d), 0o600), os.Truncate(blobPath(s, d), 0)); err != nil {
		t.Fatal(err)
	}
	storetest.Put(t, s, b)
	if err := store.Verify(t.Context(), s, d); err != nil {
		t.Error(err)
	}
}

// A depot that cannot be read must not look empty: whoever took it for that would fetch, evict or
// collect the wrong blobs. (A file in the folder's place is what works for root too, who may read
// everything.)
func TestAnUnreadableDepotIsNotEmpty(t *testing.T) {
	s := open(t)
	d := storetest.Put(t, s, []byte("a"))
	blobs := filepath.Dir(blobPath(s, d))
	if err := errors.Join(os.Rename(blobs, blobs+".away"), os.WriteFile(blobs, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, serr := s.Stat(t.Context(), d)
	_, oerr := s.Open(t.Context(), d)
	there, herr := store.Has(t.Context(), s, d)
	_, uerr := store.Resume(t.Context(), s, d, -1)
	_, cerr := s.Collect(t.Context(), []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageIndex, Digest: d, Size: 1}})
	for name, err := range map[string]error{
		"Stat": serr, "Open": oerr, "Has": herr, "Resume": uerr, "Collect": cerr,
		"List": s.List(t.Context(), func(digest.Digest, int64) error { return nil }),
	} {
		if err == nil || errors.Is(err, store.ErrNotFound) || errs.KindOf(err) == errs.NotFound {
			t.Errorf("%s: %v, want an error that is not store.ErrNotFound", name, err)
		}
	}
	if there {
		t.Error("Has says yes")
	}
}

func TestOpenLayout(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "oci-layout")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("no JSON")
	if _, err := storedir.Open(dir, storedir.Options{}); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Errorf("a foreign file: %v", err)
	}
	write(`{"imageLayoutVersion":"9.0.0"}`)
	if _, err := storedir.Open(dir, storedir.Options{}); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "9.0.0") {
		t.Errorf("another version: %v", err)
	}
	write(storedir.Layout)
	if _, err := storedir.Open(dir, storedir.Options{}); err != nil {
		t.Fatal(err)
	}
	write("") // torn
	if _, err := storedir.Open(dir, storedir.Options{}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != storedir.Layout {
		t.Errorf("not mended: %q, %v", b, err)
	}
	write(strings.Repeat(" ", storedir.LayoutLimit+1))
	if _, err := storedir.Open(dir, storedir.Options{}); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("a huge file: %v", err)
	}
}

func TestOpenChangesNothing(t *testing.T) {
	s := open(t)
	readonly := fsx.FS{Before: func(op fsx.Op) error { t.Errorf("%s %s", op.Name, op.Path); return fs.ErrPermission }}
	if _, err := storedir.Open(s.Dir(), storedir.Options{FS: readonly}); err != nil {
		t.Error(err)
	}
}

func TestPlace(t *testing.T) {
	s := open(t)
	b := noise(4000, 4)
	d, err := store.PutBytes(t.Context(), s, b)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	noLinks, err := storedir.Open(s.Dir(), storedir.Options{FS: fsx.FS{Before: func(op fsx.Op) error {
		if op.Name == "link" {
			return syscall.EPERM // what a stick with FAT says
		}
		return nil
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, st := range map[string]*storedir.Store{"link": s, "copy": noLinks} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		for range 2 { // again is no harm
			if err := st.Place(t.Context(), d, path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		info, _ := os.Stat(path)
		if err != nil || !bytes.Equal(got, b) || info.Mode() != 0o555 {
			t.Errorf("%s: %d bytes, mode %v, %v", name, len(got), info.Mode(), err)
		}
		blob, _ := os.Stat(filepath.Join(s.Dir(), "blobs", "sha256", d.Encoded()))
		if os.SameFile(info, blob) != (name == "link") {
			t.Errorf("%s: same file as the blob: %v", name, os.SameFile(info, blob))
		}
	}
	if err := s.Place(t.Context(), digest.Of(nil), filepath.Join(dir, "x"), 0o755); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a missing blob: %v", err)
	}
}

// checkClean fails the test when a temporary or partial file was left.
func checkClean(t *testing.T, s *storedir.Store) {
	t.Helper()
	entries, err := os.ReadDir(ingest(s, ""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != storedir.IndexLock && e.Name() != storedir.KeepLock {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

// A depot whose blobs others name is collected only by who knows of them.
func TestCollectKnowsWhoClaims(t *testing.T) {
	s := open(t)
	if _, err := store.PutBytes(t.Context(), s, []byte("locked")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Claim(store.ClaimLocks); err != nil {
			t.Fatal(err)
		}
	}
	for _, known := range [][]string{nil, {store.ClaimCache}} {
		if _, err := s.Collect(t.Context(), nil, known...); errs.KindOf(err) != errs.Conflict || !storetest.Has(t, s, digest.Of([]byte("locked"))) {
			t.Errorf("known %v: got %v", known, err)
		}
	}
	if _, err := s.Collect(t.Context(), nil, store.ClaimCache, store.ClaimLocks); err != nil || storetest.Has(t, s, digest.Of([]byte("locked"))) {
		t.Errorf("got %v", err)
	}
}
