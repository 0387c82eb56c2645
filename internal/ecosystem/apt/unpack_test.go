package apt_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/ecosystem/apt"
	"overland/internal/record"
)

// answer asks for the index of s as who chooses packages in a recording does, and writes the answer to w.
func (s *session) answer(w http.ResponseWriter) {
	s.t.Helper()
	if _, err := s.fetch("dists/calm/InRelease"); err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "http://recorder/archive/"+indexPath, nil)
	r.Header.Set(apt.UnpackedHeader, "1")
	it, err := s.protocol.Item(r)
	if err != nil {
		s.t.Fatal(err)
	}
	record.Answer(w, r, s.recorder, s.protocol, it, "http://recorder")
}

func TestAnIndexIsUnpackedOnceForItsReaderAndForProofs(t *testing.T) {
	s := newSession(t)
	w := httptest.NewRecorder()
	s.answer(w)
	if got := w.Body.String(); w.Code != http.StatusOK || !strings.HasPrefix(got, "Package: tea\nFilename: "+debPath) || !strings.HasSuffix(got, "\n") {
		t.Errorf("%d %q", w.Code, got)
	}
	sum := hexSum(s.get(indexPath))
	if s.protocol.Tables()[sum] == nil {
		t.Errorf("no table of it: %v", s.protocol.Tables())
	}
	if e, err := s.fetch(debPath); err != nil || e.Proof.Kind != apt.ProofIndex {
		t.Errorf("%v %v", e, err)
	}
	if e, _ := s.recorder.Lock().Find(apt.Name, "archive/"+indexPath); e.Blob.Encoded() != sum || e.Proof.Kind != apt.ProofRelease {
		t.Errorf("locked: %+v", e)
	}
	again := httptest.NewRecorder() // now that the table is there
	if s.answer(again); again.Body.String() != w.Body.String() {
		t.Errorf("%q", again.Body)
	}
}

// gone is a client that goes away.
type gone struct{ *httptest.ResponseRecorder }

func (gone) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestAnIndexWhoseReaderGoesAwayIsReadLater(t *testing.T) {
	s := newSession(t)
	s.answer(gone{httptest.NewRecorder()})
	if len(s.protocol.Tables()) != 0 {
		t.Errorf("%v", s.protocol.Tables())
	}
	if e, err := s.fetch(debPath); err != nil || e.Proof.Kind != apt.ProofIndex {
		t.Errorf("%v %v", e, err)
	}
}
