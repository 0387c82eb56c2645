package httpx_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"overland/internal/errs"
	"overland/internal/httpx"
)

// Only the upstream that the operator named is believed when it says that it has no such thing: wherever it redirects to
// may be anybody.
func TestARedirectIsNoAnswer(t *testing.T) {
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/gone", http.StatusFound)
			return
		}
		http.NotFound(w, r)
	}))
	defer far.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for path, want := range map[string]bool{"/away": false, "/gone": true} {
		if got := httpx.Lacks(t.Context(), transport, http.MethodGet, far.URL+path, true); got != want {
			t.Errorf("%s: lacks is %v", path, got)
		}
	}
}

func TestUnlessNobody(t *testing.T) {
	answer := func(lacks bool) func(context.Context) bool { return func(context.Context) bool { return lacks } }
	ctx, done := httpx.UnlessNobody(t.Context(), answer(true), answer(true))
	<-ctx.Done()
	if err := context.Cause(ctx); errs.KindOf(err) != errs.NotFound {
		t.Errorf("nobody has it: %v", err)
	}
	done()
	ctx, done = httpx.UnlessNobody(t.Context(), answer(true), answer(false))
	done() // waits for the answers
	if err := context.Cause(ctx); errs.KindOf(err) == errs.NotFound {
		t.Errorf("one may have it: %v", err)
	}
}
