package site

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

func TestRoutes(t *testing.T) {
	routes := []Route{
		{"/", Anyone, says("rest")},
		{"/v1/cache", Anyone, says("cache")},
		{"/v1", Anyone, says("v1")},
		{"/admin", "admin", says("secret")},
	}
	h := router(routes, noAccounts)
	for path, want := range map[string]string{
		"/": "rest", "/v1": "v1", "/v1/": "v1", "/v1x": "rest", "/v1/cache/go/x": "cache", "/v1/cachet": "v1", "/V1/": "rest",
		"/%761/": "rest", "/x/../v1": "rest", "//v1": "rest", "/v1/a%2Fb": "v1", "http://origin.example/v1/x": "v1",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %q, want %q", path, w.Code, w.Body, want)
		}
	}
	// Without accounts a role lets nobody in, rather than everybody.
	for _, path := range []string{"/admin", "/admin/x"} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil)); w.Code != 403 || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	if router(nil, noAccounts).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil)); w.Code != 404 {
		t.Errorf("no route: %d", w.Code)
	}
}

// A guard stands before each route, with its role.
func TestGuard(t *testing.T) {
	guard := func(role Role, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Role", string(role))
			next.ServeHTTP(w, r)
		})
	}
	h := router([]Route{{"/", Anyone, says("rest")}, {"/admin", "admin", says("secret")}}, guard)
	for path, role := range map[string]string{"/x": "anyone", "/admin": "admin"} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil)); w.Header().Get("X-Role") != role {
			t.Errorf("%s: role %q", path, w.Header().Get("X-Role"))
		}
	}
}

// One service that fails ends the others, and its name is in the error; without a
// failure all end with the context.
func TestServices(t *testing.T) {
	broken := errors.New("broken")
	until := Service{"patient", func(ctx context.Context) error { <-ctx.Done(); return nil }}
	err := runServices(t.Context(), []Service{until, {"hasty", func(context.Context) error { return broken }}}, func() {})
	if !errors.Is(err, broken) || err.Error() != "hasty: broken" {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := runServices(ctx, []Service{until, until}, cancel); err != nil {
		t.Errorf("got %v", err)
	}
}
