package session_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"overland/internal/ecosystem/plain"
	"overland/internal/lockfile"
	"overland/internal/session"
)

// mending is an origin that fails until it is up. What it has at /dl is elsewhere, at an address that
// is valid until the next one is given out.
type mending struct {
	up  atomic.Bool
	sig atomic.Int64
}

func (m *mending) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fine := m.up.Load()
	answer := func(status int) {
		if fine {
			status = http.StatusOK
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "%s %d\n", r.URL.Path, status)
	}
	switch r.URL.Path {
	case "/dl":
		http.Redirect(w, r, fmt.Sprintf("/obj?sig=SECRET%d", m.sig.Add(1)), http.StatusFound)
	case "/obj":
		fine = fine && r.FormValue("sig") == fmt.Sprint("SECRET", m.sig.Load())
		answer(http.StatusForbidden)
	case "/moved":
		if fine {
			http.Redirect(w, r, "/target", http.StatusFound)
			return
		}
		answer(http.StatusNotFound)
	default:
		_, _ = io.Copy(io.Discard, r.Body)
		answer(http.StatusServiceUnavailable)
	}
}

// Failures that a command survived are asked for again, with the command or alone, also where a redirect
// led to an address of the day; everything else stays locked.
func TestWhatFailedIsAskedForAgain(t *testing.T) {
	m := &mending{}
	srv := serve(t, m)
	const failed = "/late 503\n/moved 404\n/obj 403\n/post 503\n"
	o, out := newOptions(t, "for p in late moved dl; do curl -sL https://o.invalid/$p; done; curl -s -d SECRET0 https://o.invalid/post")
	o.Upstream.Transport = trusting(t, srv)
	res, err := session.Record(t.Context(), o)
	if err != nil || out.String() != failed || len(res.Problems) != 0 {
		t.Fatalf("%v\n%s\n%v", err, out, res)
	}
	old := res.Lock
	m.up.Store(true)

	o.Lock = lockfile.New(slices.DeleteFunc(slices.Clone(old.Entries), lockfile.Entry.Failed))
	out.Reset()
	res, err = session.Record(t.Context(), o)
	if want := "/late 200\n/target 200\n/obj 200\n/post 200\n"; err != nil || out.String() != want || len(res.Problems) != 0 {
		t.Errorf("with the command: %v\n%s\n%v", err, out, res)
	}

	o.Lock = old
	res, err = session.Again(t.Context(), o)
	if err != nil || len(res.Problems) != 1 || !strings.Contains(res.Problems[0].Error(), "POST https://o.invalid/post") || !strings.Contains(res.Problems[0].Error(), "only the command") {
		t.Fatalf("alone: %v, %v", err, res)
	}
	if e, ok := res.Lock.Find(plain.Name, "https://o.invalid/obj?sig=xxxxx"); !ok || e.Status != http.StatusOK {
		t.Errorf("%v", res.Lock.Entries)
	}
	out.Reset()
	o.Lock = res.Lock
	res, err = session.Replay(t.Context(), o)
	if want := "/late 200\n/target 200\n/obj 200\n/post 503\n"; err != nil || out.String() != want || len(res.Problems) != 0 {
		t.Errorf("replayed: %v\n%s\n%v", err, out, res)
	}
	// What still fails stays as it is.
	m.up.Store(false)
	o.Lock = old
	if res, err = session.Again(t.Context(), o); err != nil || len(lockfile.Diff(old, res.Lock)) != 0 {
		t.Errorf("%v, %v", err, res)
	}
}
