package dir_test

import (
	"errors"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/store/storetest"
)

// What somebody said to need stays, when he said it after the look that found nobody.
func TestRetire(t *testing.T) {
	s := open(t)
	d, err := store.PutBytes(t.Context(), s, []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	if err := s.Touch(d); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Retire(d, asked); gone || err != nil || !storetest.Has(t, s, d) {
		t.Errorf("touched meanwhile: %v, %v", gone, err)
	}
	if gone, err := s.Retire(d, time.Now().Add(2*storedir.Ahead)); !gone || err != nil || storetest.Has(t, s, d) {
		t.Errorf("touched before: %v, %v", gone, err)
	}
	if gone, err := s.Retire(d, asked); gone || err != nil {
		t.Errorf("gone already: %v, %v", gone, err)
	}
	if err := s.Touch(d); !errors.Is(err, store.ErrNotFound) || errs.KindOf(err) != errs.NotFound {
		t.Errorf("who comes too late is not told: %v", err)
	}
}
