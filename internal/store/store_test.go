package store

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noise returns n bytes that do not compress, the same for the same seed.
func noise(n int, seed int64) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

func desc(b []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: "application/octet-stream", Digest: digest.Of(b), Size: int64(len(b))}
}

func TestPut(t *testing.T) {
	s := open(t)
	b := noise(3*bufferSize+17, 1)
	for _, size := range []int64{-1, int64(len(b))} {
		for _, want := range []digest.Digest{"", digest.Of(b)} {
			d, n, err := s.Put(t.Context(), bytes.NewReader(b), want, size)
			if err != nil || d != digest.Of(b) || n != int64(len(b)) {
				t.Fatalf("Put(%q, %d) = %s, %d, %v", want, size, d, n, err)
			}
		}
	}
	got, err := s.Bytes(t.Context(), digest.Of(b), int64(len(b)))
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("Bytes: %d bytes, %v", len(got), err)
	}
	if _, err := s.Bytes(t.Context(), digest.Of(b), int64(len(b))-1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Bytes under the limit: %v, want ErrTooLarge", err)
	}
	if err := s.Verify(t.Context(), digest.Of(b)); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(s.Dir(), "blobs", "sha256", digest.Of(b).Encoded()))
	if err != nil || info.Mode() != blobMode {
		t.Errorf("blob's mode: %v, %v", info.Mode(), err)
	}
	checkClean(t, s)
}

func TestPutRefusesOtherBytes(t *testing.T) {
	s := open(t)
	b := noise(1000, 2)
	for name, put := range map[string]func() error{
		"digest":  func() error { _, _, err := s.Put(t.Context(), bytes.NewReader(b[1:]), digest.Of(b), -1); return err },
		"short":   func() error { _, _, err := s.Put(t.Context(), bytes.NewReader(b), "", 1001); return err },
		"long":    func() error { _, _, err := s.Put(t.Context(), bytes.NewReader(b), "", 999); return err },
		"endless": func() error { _, _, err := s.Put(t.Context(), endless{}, digest.Of(b), 1000); return err },
	} {
		if err := put(); !errors.Is(err, digest.ErrMismatch) || errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %v, want a mismatch that is untrusted", name, err)
		}
	}
	if s.Has(digest.Of(b)) {
		t.Error("a refused blob is visible")
	}
	checkClean(t, s)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestMissing(t *testing.T) {
	s := open(t)
	d := digest.Of([]byte("nobody has this"))
	_, err := s.Open(d)
	if !errors.Is(err, ErrNotFound) || !errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) != errs.NotFound {
		t.Errorf("Open: %v", err)
	}
	if _, err := s.Size(d); !errors.Is(err, ErrNotFound) {
		t.Errorf("Size: %v", err)
	}
	if err := s.Verify(t.Context(), d); !errors.Is(err, ErrNotFound) {
		t.Errorf("Verify: %v", err)
	}
	if err := s.Remove(d); err != nil {
		t.Errorf("Remove: %v", err)
	}
	for _, bad := range []digest.Digest{"", "sha256:..", "sha256:../../../etc/passwd", "md5:00"} {
		if _, err := s.Open(bad); !errors.Is(err, digest.ErrInvalid) || errs.KindOf(err) != errs.Invalid {
			t.Errorf("Open(%q): %v", bad, err)
		}
	}
}

func TestDamagedBlobIsNoticed(t *testing.T) {
	s := open(t)
	b := noise(5000, 3)
	d, err := s.PutBytes(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir(), "blobs", "sha256", d.Encoded())
	b[77] ^= 1
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), d); !errors.Is(err, digest.ErrMismatch) || errs.KindOf(err) != errs.Untrusted {
		t.Errorf("Verify: %v", err)
	}
	if _, err := s.Bytes(t.Context(), d, 1<<20); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("Bytes: %v", err)
	}
	// A file of zero bytes is what a power cut leaves of a blob that was not synced: a Put of known size replaces it.
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	b[77] ^= 1
	if _, err := s.PutBytes(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), d); err != nil {
		t.Error(err)
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
	if _, err := Open(dir, Options{}); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Errorf("a foreign file: %v", err)
	}
	write(`{"imageLayoutVersion":"9.0.0"}`)
	if _, err := Open(dir, Options{}); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "9.0.0") {
		t.Errorf("another version: %v", err)
	}
	write(layout)
	if _, err := Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	write("") // torn
	if _, err := Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != layout {
		t.Errorf("not mended: %q, %v", b, err)
	}
	write(strings.Repeat(" ", layoutLimit+1))
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a huge file: %v", err)
	}
}

func TestOpenChangesNothing(t *testing.T) {
	s := open(t)
	readonly := fsx.FS{Before: func(op fsx.Op) error { t.Errorf("%s %s", op.Name, op.Path); return fs.ErrPermission }}
	if _, err := Open(s.Dir(), Options{FS: readonly}); err != nil {
		t.Error(err)
	}
}

func TestPlace(t *testing.T) {
	s := open(t)
	b := noise(4000, 4)
	d, err := s.PutBytes(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	noLinks, err := Open(s.Dir(), Options{FS: fsx.FS{Before: func(op fsx.Op) error {
		if op.Name == "link" {
			return syscall.EPERM // what a stick with FAT says
		}
		return nil
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, st := range map[string]*Store{"link": s, "copy": noLinks} {
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
	if err := s.Place(t.Context(), digest.Of(nil), filepath.Join(dir, "x"), 0o755); !errors.Is(err, ErrNotFound) {
		t.Errorf("a missing blob: %v", err)
	}
}

func TestChunks(t *testing.T) {
	for _, n := range []int{0, 1, ChunkSize - 1, ChunkSize, ChunkSize + 1, 3*ChunkSize + 5} {
		b := noise(n, int64(n))
		list, err := Chunks(slow{bytes.NewReader(b)})
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for off := 0; off < n; off += ChunkSize {
			raw := digest.New()
			raw.Write(b[off:min(off+ChunkSize, n)])
			want = raw.Sum(want)
		}
		if !bytes.Equal(list, want) {
			t.Errorf("%d bytes: list of %d bytes, want %d", n, len(list), len(want))
		}
	}
}

// slow never fills the buffer, as a slow link does.
type slow struct{ r io.Reader }

func (o slow) Read(p []byte) (int, error) { return o.r.Read(p[:max(1, len(p)-1)]) }

// checkClean fails the test when a temporary or partial file was left.
func checkClean(t *testing.T, s *Store) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.Dir(), ingestFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != indexLock {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

// A depot whose blobs others name is collected only by who knows of them.
func TestCollectKnowsWhoClaims(t *testing.T) {
	s := open(t)
	if _, err := s.PutBytes(t.Context(), []byte("locked")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Claim(ClaimLocks); err != nil {
			t.Fatal(err)
		}
	}
	for _, known := range [][]string{nil, {ClaimCache}} {
		if _, err := s.Collect(t.Context(), nil, known...); errs.KindOf(err) != errs.Conflict || !s.Has(digest.Of([]byte("locked"))) {
			t.Errorf("known %v: got %v", known, err)
		}
	}
	if _, err := s.Collect(t.Context(), nil, ClaimCache, ClaimLocks); err != nil || s.Has(digest.Of([]byte("locked"))) {
		t.Errorf("got %v", err)
	}
}
