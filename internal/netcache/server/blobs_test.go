package server

import (
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store/storetest"
)

// What a collection must keep.
func TestBlobsAreNamed(t *testing.T) {
	kept := shelf(t)
	var names []string
	err := kept.Blobs(t.Context(), func(name string, _ digest.Digest, _ int64) error { names = append(names, name); return nil })
	if err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
	want, _, err := kept.PutBlob(t.Context(), strings.NewReader("x"), "", -1, maxBlob)
	if err != nil {
		t.Fatal(err)
	}
	err = kept.Blobs(t.Context(), func(name string, d digest.Digest, n int64) error {
		names = append(names, name)
		if d != digest.Of([]byte("x")) || n != 1 {
			t.Errorf("%s is %s, %d bytes", name, d, n)
		}
		return nil
	})
	if err != nil || len(names) != 1 || names[0] != want {
		t.Errorf("%v, %v", names, err)
	}
}

// What comes from another network cache is written to the disk once: the file
// that it comes in becomes the blob.
func TestAnAdoptedBlobIsWrittenOnce(t *testing.T) {
	name := nameOf([]byte("egg"))
	dir := t.TempDir()
	s, err := openIn(dir, fsx.FS{Before: func(op fsx.Op) error {
		if strings.Contains(op.Path, "put-") {
			t.Errorf("%s %s", op.Name, op.Path)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	spool, err := (fsx.FS{}).Nameless(dir, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	if _, err := spool.WriteString("egg"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.adopt(t.Context(), spool, nameOf([]byte("ham"))); errs.KindOf(err) != errs.Invalid {
		t.Errorf("under another name: %v", err)
	}
	if d, n, err := s.adopt(t.Context(), spool, name); err != nil || n != 3 || !storetest.Has(t, s.depot, d) {
		t.Errorf("%s, %d bytes, %v", d, n, err)
	}
}

// A blob that has just been evicted is not acknowledged.
func TestABlobThatIsGoneIsNotAcknowledged(t *testing.T) {
	s := shelf(t)
	if err := s.alias(nameOf([]byte("egg")), digest.Of([]byte("egg")), 3); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("error %v", err)
	}
}
