package origin

import (
	"net/http"
	"testing"

	"overland/internal/errs"
)

func TestNothingLeadsFromHTTPSToHTTP(t *testing.T) {
	tr := &transfer{url: "https://example.org/x", c: &Client{}}
	from, _ := http.NewRequest(http.MethodGet, "https://example.org/x", nil)
	to, _ := http.NewRequest(http.MethodGet, "http://example.org/x", nil)
	if err := tr.client().CheckRedirect(to, []*http.Request{from}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("error %v", err)
	}
}
