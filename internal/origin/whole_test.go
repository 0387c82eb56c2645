package origin_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/origin"
)

// A Whole request gets whatever the origin answers; what passes by itself is asked for again first,
// unless the question must not be put twice.
func TestEveryAnswerIsPassed(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("X-Next-Page", "2")
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/none":
			http.Error(w, "not here", http.StatusNotFound)
		case "/busy":
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case "/part":
			w.Header().Set("Content-Range", "bytes 1-2/9")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, r.Header.Get("Range"))
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/there":
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, r.Method)
		}
	}))
	defer srv.Close()
	c := &origin.Client{Transport: srv.Client().Transport, Wait: time.Millisecond, Tries: 3}
	for _, q := range []struct {
		name   string
		r      origin.Request
		status int
		body   string
		asked  int32
	}{
		{"redirect", origin.Request{URL: "/moved"}, 302, "<a href=\"/there\">Found</a>.\n\n", 1},
		{"followed", origin.Request{URL: "/moved", Follow: true}, 201, "GET", 2},
		{"not found", origin.Request{URL: "/none"}, 404, "not here\n", 1},
		{"busy", origin.Request{URL: "/busy"}, 503, "busy\n", 3},
		{"busy, once", origin.Request{URL: "/busy", Once: true}, 503, "busy\n", 1},
		{"a part", origin.Request{URL: "/part", Header: http.Header{"Range": {"bytes=1-2"}}}, 206, "bytes=1-2", 1},
		{"nothing", origin.Request{URL: "/empty"}, 204, "", 1},
		{"put", origin.Request{URL: "/there", Method: http.MethodPut, Body: []byte("x")}, 201, "PUT", 1},
	} {
		asked.Store(0)
		q.r.URL, q.r.Whole, q.r.Page = srv.URL+q.r.URL, true, true
		a, err := c.Get(t.Context(), q.r)
		if err != nil {
			t.Errorf("%s: %v", q.name, err)
			continue
		}
		b, err := io.ReadAll(a.Body)
		if errors.Join(err, a.Close()) != nil || a.Status != q.status || string(b) != q.body || asked.Load() != q.asked || a.Header.Get("X-Next-Page") != "2" {
			t.Errorf("%s: %d %q, asked %d times, %v", q.name, a.Status, b, asked.Load(), a.Header)
		}
	}
}
