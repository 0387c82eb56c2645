package cargo_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/ecosystem/cargo"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
)

func TestMistakes(t *testing.T) {
	for _, bad := range []string{"", "sparse+", "https://", "git+https://a.invalid", "ssh://a.invalid/x", "sparse+https://me:word@a.invalid/"} {
		if _, err := cargo.New(bad, nil); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := cargo.Machine(nil).Item(httptest.NewRequest(http.MethodPut, "http://r/config.json", nil)); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}

func TestTheIndexPassesThrough(t *testing.T) {
	body := strings.NewReader("x")
	if r, media, err := cargo.Machine(nil).Serve(record.Item{Key: "tea"}, lockfile.Entry{MediaType: "text/plain"}, body, ""); err != nil || r != body || media != "text/plain" {
		t.Error(r, media, err)
	}
}
