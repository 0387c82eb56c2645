package origin_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/httpx"
)

// A certificate that does not hold is not tried again, and not taken for an origin that is down.
func TestACertificateThatDoesNotHold(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked") }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	if _, err := quick(t).GetInto(t.Context(), want(s.URL, "x"), &memory{}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("error %v", err)
	}
}

// Another site is told the way of the request and asked to say how far it
// is; an origin learns of neither.
func TestOnlySitesAreTold(t *testing.T) {
	var got http.Header
	s := newServer(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
	host := strings.TrimPrefix(s.URL, "http://")
	self := httpx.ID([32]byte{1})
	httpx.WithVia(self, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for _, site := range []bool{true, false} {
			c := quick(t)
			c.Tell = func(h string) bool { return site && h == host }
			if _, err := c.GetInto(r.Context(), want(s.URL, "x"), &memory{}); err != nil {
				t.Error(err)
			}
			if told, asks := strings.Contains(got.Get("Via"), self), got.Get("Overland-Progress") != ""; told != site || asks != site {
				t.Errorf("a site %v: told %v, asks %v", site, told, asks)
			}
		}
	})).ServeHTTP(nil, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
}
