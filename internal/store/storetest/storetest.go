package storetest

import (
	"bytes"
	"io"
	"math/rand"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/store"
)

// Harness makes stores of one implementation.
type Harness struct {
	// New returns a function that opens an empty store of t's own; each call opens the same one
	// again, as another process would.
	New func(t *testing.T) func() store.Store
	// Damage changes a byte of blob d where s keeps it; nil = it cannot be done from outside.
	Damage func(t *testing.T, s store.Store, d digest.Digest)
}

// Run runs the contract against h.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"put":                    put,
		"put refuses":            putRefuses,
		"missing":                missing,
		"list and remove":        listAndRemove,
		"damage":                 damage,
		"open":                   open,
		"cancelled":              cancelled,
		"tag":                    tag,
		"tags of many writers":   tagsOfManyWriters,
		"walk":                   walk,
		"upload":                 upload,
		"upload of many writers": uploadOfManyWriters,
		"upload one writer":      uploadOneWriter,
		"upload refuses":         uploadRefuses,
		"upload goes back":       uploadGoesBack,
		"resume":                 resume,
		"pending":                pending,
		"staged":                 staged,
	} {
		t.Run(name, func(t *testing.T) { test(t, h) })
	}
}

// Has reports whether s has blob d.
func Has(t testing.TB, s store.Blobs, d digest.Digest) bool {
	t.Helper()
	there, err := store.Has(t.Context(), s, d)
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// Put stores b in s and returns its name.
func Put(t testing.TB, s store.Blobs, b []byte) digest.Digest {
	t.Helper()
	d, err := store.PutBytes(t.Context(), s, b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Noise returns n bytes that do not compress, the same for the same seed.
func Noise(n int, seed int64) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

// Describe returns a descriptor of b, which stands for no document.
func Describe(b []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: "application/octet-stream", Digest: digest.Of(b), Size: int64(len(b))}
}

// Endless is a reader of as many zero bytes as anybody wants.
type Endless struct{}

// Read fills p.
func (Endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, s store.Store, b []byte) {
	t.Helper()
	f, err := s.Open(t.Context(), digest.Of(b))
	fatal(t, err)
	defer f.Close()
	got, err := io.ReadAll(f)
	fatal(t, err)
	if !bytes.Equal(got, b) || f.Size() != int64(len(b)) {
		t.Errorf("blob of %d bytes, says %d: it is another one than was put", len(got), f.Size())
	}
}
