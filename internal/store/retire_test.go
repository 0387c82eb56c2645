package store

import (
	"errors"
	"testing"
	"time"

	"overland/internal/errs"
)

// What somebody said to need stays, when he said it after the look that found nobody.
func TestRetire(t *testing.T) {
	s := open(t)
	d, err := s.PutBytes(t.Context(), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	if err := s.Touch(d); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Retire(d, asked); gone || err != nil || !s.Has(d) {
		t.Errorf("touched meanwhile: %v, %v", gone, err)
	}
	if gone, err := s.Retire(d, time.Now().Add(2*ahead)); !gone || err != nil || s.Has(d) {
		t.Errorf("touched before: %v, %v", gone, err)
	}
	if gone, err := s.Retire(d, asked); gone || err != nil {
		t.Errorf("gone already: %v, %v", gone, err)
	}
	if err := s.Touch(d); !errors.Is(err, ErrNotFound) || errs.KindOf(err) != errs.NotFound {
		t.Errorf("who comes too late is not told: %v", err)
	}
}
