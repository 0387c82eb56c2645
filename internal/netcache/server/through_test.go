package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/netcache"
)

// A key that no list can have is asked for nowhere, and not remembered.
func TestAKeyThatCannotBe(t *testing.T) {
	far := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked for") }))
	defer far.Close()
	s := New(NewShelf(t), Options{Through: &Through{Lists: []string{far.URL}}})
	defer s.Close()
	key := strings.Repeat("k", netcache.KeyLimit+1)
	if err := s.through.list(t.Context(), key); errs.KindOf(err) != errs.Invalid || s.through.known.Has("list "+key) {
		t.Errorf("error %v", err)
	}
}
