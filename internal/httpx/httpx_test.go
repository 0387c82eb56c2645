package httpx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func site(n byte) string { return ID([32]byte{n}) }

// way returns what a site self, which asks the sites asked, makes of a request with these lines of
// Via: whether it answers from what it holds, and what it sends on.
func way(self string, asked []string, via ...string) (held bool, on []string) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Via"] = via
	WithVia(self, asked, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		h := http.Header{}
		Forward(r.Context(), h)
		held, on = OnlyIfCached(r.Context()), h["Via"]
	})).ServeHTTP(httptest.NewRecorder(), r)
	return held, on
}

func TestVia(t *testing.T) {
	long := make([]string, Limit)
	for i := range long {
		long[i] = "1.1 " + site(byte(i+10))
	}
	for name, c := range map[string]struct {
		via  []string
		held bool
		on   string
	}{
		"from a node":          {nil, false, "1.1 " + site(1)},
		"from a site":          {[]string{"1.1 " + site(3)}, false, "1.1 " + site(3) + "|1.1 " + site(1)},
		"through a proxy":      {[]string{"1.1 nginx, 1.1 " + site(3) + " (a comment)"}, false, "1.1 " + site(3) + "|1.1 " + site(1)},
		"from itself":          {[]string{"1.1 " + site(3), "1.1 " + site(1)}, true, ""},
		"from whom it asks":    {[]string{"1.1 " + site(3) + ", 1.1 " + site(2)}, true, ""},
		"from too far":         {long, true, ""},
		"in one line":          {[]string{strings.Join(long, ",")}, true, ""},
		"no site's name":       {[]string{"1.1 overland-x, , 1.1, overland-"}, false, "1.1 " + site(1)},
		"no hex digits":        {[]string{"1.1 overland-" + strings.Repeat("z", 2*idBytes)}, false, "1.1 " + site(1)},
		"a flood of sites":     {[]string{strings.Repeat(long[0]+",", 10_000)}, true, ""},
		"a flood that is long": {[]string{strings.Repeat("1.1 x,", 10_000)}, false, "1.1 " + site(1)},
	} {
		held, on := way(site(1), []string{site(2)}, c.via...)
		if held != c.held || c.on != "" && strings.Join(on, "|") != c.on {
			t.Errorf("%s: held %v, on %q", name, held, on)
		}
		if len(on) > Limit+1 {
			t.Errorf("%s: %d sites are named", name, len(on))
		}
	}
	if OnlyIfCached(t.Context()) || Relayed(t.Context()) {
		t.Error("a request that came through no site")
	}
	for via, want := range map[string]bool{"": false, "1.1 nginx": false, "1.1 " + site(3): true} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Via", via)
		WithVia(site(1), nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if Relayed(r.Context()) != want {
				t.Errorf("%q: relayed %v", via, !want)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	}
}

// ask asks url for its answer and returns that with how often it was told that more has come.
func ask(t *testing.T, url string) (status, told int) {
	t.Helper()
	h := http.Header{}
	ctx := Ask(t.Context(), h, func() { told++ })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode, told
}

// A client that waits is told while more comes, and only then; one
// that did not ask is told nothing.
func TestAWaitingClientIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		moves bool
		asks  bool
		least int
		most  int
	}{
		"it moves": {true, true, 2, 5}, "it stands": {false, true, 0, 0}, "nobody asked": {true, false, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !c.asks {
					r.Header.Del(askHeader)
				}
				done := func() int64 {
					if !c.moves {
						return 0
					}
					return int64(time.Since(began))
				}
				err := Wait(w, r, done, func() error { <-time.After(3500 * time.Millisecond); return context.Canceled })
				if !errors.Is(err, context.Canceled) || len(w.Header()) > 0 {
					t.Errorf("got %v, header %v", err, w.Header())
				}
				w.WriteHeader(http.StatusTeapot)
			}))
			defer s.Close()
			if status, told := ask(t, s.URL); status != http.StatusTeapot || told < c.least || told > c.most {
				t.Errorf("status %d, told %d times", status, told)
			}
		})
	}
}

// A number that does not rise is not progress, and a flood of answers is given up.
func TestALiarIsNotWaitedFor(t *testing.T) {
	flood := false
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range most + 2 {
			n := []string{"5", "3", "", "x", "-1", "99999999999999999999"}[i%6]
			if flood {
				n = fmt.Sprint(i)
			} else if i > 100 {
				break
			}
			w.Header().Set(doneHeader, n)
			w.WriteHeader(http.StatusProcessing)
		}
	}))
	defer s.Close()
	if status, told := ask(t, s.URL); status != http.StatusOK || told != 1 {
		t.Errorf("status %d, told %d times; want once", status, told)
	}
	flood = true
	h := http.Header{}
	req, err := http.NewRequestWithContext(Ask(t.Context(), h, func() {}), http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	if res, err := transport.RoundTrip(req); err == nil {
		res.Body.Close()
		t.Error("a flood was taken")
	}
}

func FuzzVia(f *testing.F) {
	f.Add("1.1 nginx, 1.1 " + site(3) + " (a comment)")
	f.Add(",,1.1 overland-,\x00")
	f.Fuzz(func(t *testing.T, line string) {
		for _, id := range parse([]string{line, line}) {
			if !strings.Contains(line, id) || strings.Trim(strings.TrimPrefix(id, prefix), "0123456789abcdef") != "" {
				t.Errorf("%q in %q", id, line)
			}
		}
	})
}
