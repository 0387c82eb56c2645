package origin_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"overland/internal/errs"
	"overland/internal/origin"
)

// misbehave answers as its path says.
func misbehave(w http.ResponseWriter, r *http.Request, n int64) {
	h := w.Header()
	switch strings.TrimPrefix(r.URL.Path, "/") {
	case "fine":
		_, _ = w.Write(content)
	case "html":
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<p>please log in")
	case "disguised":
		h.Set("Content-Type", "application/zip")
		_, _ = io.WriteString(w, "\n<!DOCTYPE html><title>portal</title>")
	case "short":
		h.Set("Content-Length", strconv.Itoa(len(content)+1))
		_, _ = w.Write(content)
	case "long":
		_, _ = w.Write(bytes.Repeat([]byte{1}, 1<<20+1))
	case "claims":
		h.Set("Content-Length", strconv.FormatInt(1<<40, 10))
	case "500 then fine":
		if n < 3 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(content)
	case "500":
		w.WriteHeader(http.StatusInternalServerError)
	case "loop":
		http.Redirect(w, r, "/loop", http.StatusFound)
	case "moved":
		http.Redirect(w, r, "/fine", http.StatusFound)
	case "cut":
		h.Set("Etag", `"v1"`)
		from := 0
		if s, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && r.Header.Get("If-Range") == `"v1"` {
			from, _ = strconv.Atoi(strings.TrimSuffix(s, "-"))
			h.Set("Content-Range", "bytes "+strconv.Itoa(from)+"-"+strconv.Itoa(len(content)-1)+"/"+strconv.Itoa(len(content)))
		}
		h.Set("Content-Length", strconv.Itoa(len(content)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		const piece = 20_000
		_, _ = w.Write(content[from:min(from+piece, len(content))])
	case "wrong range":
		h.Set("Etag", `"v1"`)
		h.Set("Content-Length", strconv.Itoa(len(content)))
		if r.Header.Get("Range") != "" {
			h.Set("Content-Range", "bytes 0-1/2")
			h.Set("Content-Length", "2")
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(content[:2])
	case "denied":
		w.WriteHeader(http.StatusForbidden)
	case "who":
		w.WriteHeader(http.StatusUnauthorized)
	case "gone":
		w.WriteHeader(http.StatusGone)
	case "silent":
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	default:
		http.NotFound(w, r)
	}
}

func TestGet(t *testing.T) {
	for _, c := range []struct {
		path  string
		kind  errs.Kind // Internal: it succeeds
		asked int64
		says  string
	}{
		{"fine", errs.Internal, 1, ""},
		{"500 then fine", errs.Internal, 3, ""},
		{"cut", errs.Internal, 4, ""},
		{"moved", errs.Internal, 2, ""},
		{"html", errs.Unavailable, 1, "a web page"},
		{"disguised", errs.Unavailable, 1, "a web page"},
		{"short", errs.Unavailable, 0, "broke off"},
		{"long", errs.Unavailable, 1, "more than the limit"},
		{"claims", errs.Unavailable, 1, "more than the limit"},
		{"500", errs.Unavailable, origin.DefaultTries, "answered 500"},
		{"loop", errs.Unavailable, 11, "redirects"},
		{"wrong range", errs.Unavailable, 2, "Content-Range"},
		{"denied", errs.Denied, 1, "answered 403"},
		{"gone", errs.NotFound, 1, "answered 410"},
		{"none", errs.NotFound, 1, "answered 404"},
	} {
		t.Run(c.path, func(t *testing.T) {
			var o *server
			o = newServer(t, func(w http.ResponseWriter, r *http.Request) { misbehave(w, r, o.asked.Load()) })
			up := quick(t)
			f, err := up.Get(t.Context(), want(o.URL, c.path))
			if got := o.asked.Load(); c.asked != 0 && got != c.asked {
				t.Errorf("asked %d times, want %d", got, c.asked)
			}
			if left, _ := os.ReadDir(up.Dir); len(left) != 0 {
				t.Errorf("%d temporary files stay behind", len(left))
			}
			if c.kind != errs.Internal {
				if errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %v (%v), want %v with %q", err, errs.KindOf(err), c.kind, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got, err := io.ReadAll(f.Body); err != nil || !bytes.Equal(got, content) || f.Size != int64(len(content)) {
				t.Errorf("%d bytes, size %d, %v", len(got), f.Size, err)
			}
		})
	}
}

func TestASilentOriginIsLeft(t *testing.T) {
	o := newServer(t, func(w http.ResponseWriter, r *http.Request) { misbehave(w, r, 0) })
	up := quick(t)
	up.Stall, up.Tries = 50*time.Millisecond, 2
	_, err := up.Get(t.Context(), want(o.URL, "silent"))
	if errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "went silent") {
		t.Errorf("error %v", err)
	}
}

func TestTheNextOneIsAskedWhenThereIsNoSuchThing(t *testing.T) {
	o := newServer(t, func(w http.ResponseWriter, r *http.Request) { misbehave(w, r, 0) })
	it := want(o.URL, "none")
	it.Fallback = []string{o.URL + "/gone", o.URL + "/fine", o.URL + "/500"}
	f, err := quick(t).Get(t.Context(), it)
	if err != nil || f.URL != o.URL+"/fine" {
		t.Fatalf("%v, %v", f, err)
	}
	f.Close()
	it.Fallback = it.Fallback[:1]
	if _, err = quick(t).Get(t.Context(), it); !errors.As(err, new(*origin.StatusError)) {
		t.Errorf("error %v", err)
	}
}

// Errors are printed, logged and answered with: a password in the address of
// an upstream is in none of them.
func TestAPasswordIsNotShown(t *testing.T) {
	o := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if _, word, _ := r.BasicAuth(); word != "s3cret" {
			t.Errorf("asked with the password %q", word)
		}
		misbehave(w, r, 0)
	})
	at := strings.Replace(o.URL, "://", "://me:s3cret@", 1)
	for _, path := range []string{"none", "500", "html", "long", "short", "loop", "%zz"} {
		_, err := quick(t).Get(t.Context(), want(at, path))
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: error %v", path, err)
		}
	}
	f, err := quick(t).Get(t.Context(), want(at, "fine"))
	if err != nil || strings.Contains(f.URL, "s3cret") {
		t.Fatalf("%v, %v", f, err)
	}
	f.Close()
}

// A POST goes on as one where it is sent, but an answer that is to be fetched (303) is
// fetched, wherever that is by now.
func TestARedirectedPost(t *testing.T) {
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.Path+" "+string(body))
		switch r.URL.Path {
		case "/old":
			http.Redirect(w, r, "/new", http.StatusMovedPermanently)
		case "/new":
			http.Redirect(w, r, "/result", http.StatusSeeOther)
		case "/result":
			http.Redirect(w, r, "/here", http.StatusFound)
		}
	}))
	defer srv.Close()
	f, err := new(origin.Client).Get(t.Context(), origin.Request{URL: srv.URL + "/old", Method: http.MethodPost, Body: []byte("q")})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if diff := cmp.Diff([]string{"POST /old q", "POST /new q", "GET /result ", "GET /here "}, asked); diff != "" {
		t.Error(diff)
	}
}
