package httpx_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/errs"
	"overland/internal/httpx"
)

// Only the upstream that the operator named is believed when it says that it has no such thing:
// wherever it redirects to may be anybody.
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
}

func TestOneMayHaveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, lacks := range [][]bool{{true, false}, {false, true}} {
			var asking []func(context.Context) bool
			for _, answer := range lacks {
				asking = append(asking, func(context.Context) bool { return answer })
			}
			ctx, done := httpx.UnlessNobody(t.Context(), asking...)
			synctest.Wait() // all have answered
			if ctx.Err() != nil {
				t.Errorf("%v: %v", lacks, context.Cause(ctx))
			}
			done()
		}
	})
}

// Who is done waits for those that are still asking.
func TestDoneWaitsForTheAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		_, done := httpx.UnlessNobody(t.Context(), func(ctx context.Context) bool {
			<-ctx.Done()
			time.Sleep(time.Second) // unwinding takes a moment
			ended = true
			return false
		})
		done()
		if !ended {
			t.Error("something still runs")
		}
	})
}

// Another site is told the way of the request that is asked for, and an origin is not.
func TestASiteIsToldTheWay(t *testing.T) {
	var via []string
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		via = r.Header.Values("Via")
		http.NotFound(w, r)
	}))
	defer far.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	self := httpx.ID([32]byte{1})
	httpx.WithVia(self, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for tell, want := range map[bool]int{true: 1, false: 0} {
			if !httpx.Lacks(r.Context(), transport, http.MethodHead, far.URL, tell) || len(via) != want {
				t.Errorf("told %v: %q", tell, via)
			}
		}
	})).ServeHTTP(nil, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
}
