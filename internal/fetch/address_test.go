package fetch_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/fetch"
)

// A node that reaches a site at an address which the site does not know as its own, through a
// forwarded port, is told what to change there.
func TestASiteThatDoesNotKnowItsAddress(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusMisdirectedRequest)
	}))
	srv.StartTLS()
	defer srv.Close()
	s, err := fetch.Site("https://"+srv.Listener.Addr().String()+"#"+fetch.PinOf(srv.Certificate()).String(), fetch.SiteOptions{Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.CloseIdleConnections()
	_, err = s.Metadata(t.Context(), "timestamp.json", 100)
	if errs.KindOf(err) != errs.Unavailable || !strings.Contains(errs.HintOf(err), "names: [127.0.0.1]") {
		t.Errorf("%v (hint %q)", err, errs.HintOf(err))
	}
}
