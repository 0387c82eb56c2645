package server

import (
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store/storetest"
)

// What comes from another network cache is written to the disk once: the file
// that it comes in becomes the blob.
func TestAnAdoptedBlobIsWrittenOnce(t *testing.T) {
	name := NameOf([]byte("egg"))
	dir := t.TempDir()
	s, err := OpenIn(dir, fsx.FS{Before: func(op fsx.Op) error {
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
	if _, _, err := s.adopt(t.Context(), spool, NameOf([]byte("ham"))); errs.KindOf(err) != errs.Invalid {
		t.Errorf("under another name: %v", err)
	}
	if d, n, err := s.adopt(t.Context(), spool, name); err != nil || n != 3 || !storetest.Has(t, s.depot, d) {
		t.Errorf("%s, %d bytes, %v", d, n, err)
	}
}

// A blob that has just been evicted is not acknowledged.
func TestABlobThatIsGoneIsNotAcknowledged(t *testing.T) {
	s := NewShelf(t)
	if err := s.alias(NameOf([]byte("egg")), digest.Of([]byte("egg")), 3); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("error %v", err)
	}
}
