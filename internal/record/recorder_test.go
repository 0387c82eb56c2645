package record_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/store"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestWhatIsRecordedIsReplayedAndNothingElse(t *testing.T) {
	o := newOrigin(t, misbehave)
	s, p := newStore(t), files{o.URL}
	r := record.NewRecorder(s, record.Options{Upstream: quick(t)})
	defer r.Close()
	srv := httptest.NewServer(record.Handler(r, p))
	defer srv.Close()
	for path, want := range map[string]int{"fine": 200, "none": 404, "gone": 410, "html": 503, "denied": 403, "who": 403, "": 400} {
		if code, _ := get(t, srv.URL+"/files/"+path); code != want {
			t.Errorf("%q: status %d, want %d", path, code, want)
		}
	}
	if code, _ := get(t, srv.URL+"/other/fine"); code != http.StatusNotFound {
		t.Errorf("another protocol: status %d", code)
	}
	if err := r.Settle(); err != nil {
		t.Fatal(err)
	}
	if n := blobs(t, s); n != 1 {
		t.Errorf("%d blobs, want 1: an error was stored", n)
	}
	if list := r.Problems(); len(list) != 3 || !strings.Contains(list[0].Error(), "refused: files GET /") || !strings.Contains(list[2].Error(), "who") {
		t.Errorf("problems %v", list)
	}
	l := r.Lock()
	if len(l.Entries) != 4 {
		t.Fatalf("lock %v", l.Entries)
	}

	o.Close()
	replay := record.NewReplayer(s, l)
	srv2 := httptest.NewServer(record.Handler(replay, p))
	defer srv2.Close()
	if code, body := get(t, srv2.URL+"/files/fine"); code != http.StatusOK || body != string(content) {
		t.Errorf("status %d, %d bytes", code, len(body))
	}
	for ranges, want := range map[string]int{"bytes=0-7": http.StatusPartialContent, "bytes=0-0,2-2": http.StatusOK} {
		w, req := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/files/fine", nil)
		req.Header.Set("Range", ranges)
		if record.Handler(replay, p).ServeHTTP(w, req); w.Code != want {
			t.Errorf("%s: status %d, want %d", ranges, w.Code, want)
		}
	}
	for path, want := range map[string]int{"gone": 410, "denied": 403} {
		if code, _ := get(t, srv2.URL+"/files/"+path); code != want {
			t.Errorf("%s: status %d", path, code)
		}
	}
	code, body := get(t, srv2.URL+"/files/html")
	if code != http.StatusFailedDependency || !strings.Contains(body, "never recorded: files html") {
		t.Errorf("status %d: %s", code, body)
	}
	miss := (*record.MissError)(nil)
	if list := replay.Misses(); len(list) != 1 || !errors.As(list[0], &miss) || miss.Key != "html" {
		t.Errorf("misses %v", list)
	}
	if used := replay.Used(); len(used.Entries) != 3 || used.Entries[2].Key != "gone" {
		t.Errorf("used %v", used.Entries)
	}
	told := map[bool]int{}
	again := record.NewReplayer(s, l)
	again.Verified = func(_ lockfile.Entry, proved bool) { told[proved]++ }
	if bad := record.Verify(t.Context(), again, p); len(bad) != 0 || told[false] != len(l.Entries) || told[true] != len(l.Entries) {
		t.Error(bad, told)
	}
}

func TestChangedContentIsReportedAndNeverReplaced(t *testing.T) {
	body := "one"
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		if body == "" {
			w.WriteHeader(http.StatusGone)
			return
		}
		_, _ = io.WriteString(w, body)
	})
	s, p := newStore(t), files{o.URL}
	first := record.NewRecorder(s, record.Options{Upstream: quick(t)})
	defer first.Close()
	if _, b, err := first.Get(t.Context(), p, p.item("x")); err != nil {
		t.Fatal(err)
	} else {
		b.Close()
	}
	body = "two"

	// The depot has it: the origin is not asked.
	second := record.NewRecorder(s, record.Options{Upstream: quick(t), Lock: first.Lock()})
	defer second.Close()
	_, b, err := second.Get(t.Context(), p, p.item("x"))
	if err != nil || o.asked.Load() != 1 {
		t.Fatalf("%v, asked %d times", err, o.asked.Load())
	}
	b.Close()

	// The depot has lost it, and the origin has something else.
	empty := newStore(t)
	third := record.NewRecorder(empty, record.Options{Upstream: quick(t), Lock: first.Lock()})
	defer third.Close()
	_, _, err = third.Get(t.Context(), p, p.item("x"))
	changed := (*record.ChangedError)(nil)
	if !errors.As(err, &changed) || errs.KindOf(err) != errs.Conflict {
		t.Fatalf("error %v", err)
	}
	for _, d := range []digest.Digest{digest.Of([]byte("one")), digest.Of([]byte("two"))} {
		if !strings.Contains(err.Error(), string(d)) {
			t.Errorf("%v does not name %s", err, d)
		}
	}
	if e, ok := third.Lock().Find("files", "x"); !ok || e.Blob != digest.Of([]byte("one")) || blobs(t, empty) != 0 {
		t.Errorf("lock has %v, and the depot %d blobs", e, blobs(t, empty))
	}

	// The origin has it no more, then again.
	it := p.item("x")
	it.Upstream = o.URL + "/gone"
	body = ""
	if _, _, err = third.Get(t.Context(), p, it); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "410") {
		t.Errorf("error %v", err)
	}
	body = "one"
	e, b, err := third.Get(t.Context(), p, p.item("x"))
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if locked, _ := first.Lock().Find("files", "x"); e != locked {
		t.Errorf("%v, locked was %v", e, locked)
	}
}

// A blob that the disk has changed is not given to who cannot see that, and
// is fetched again by a recording.
func TestADamagedBlob(t *testing.T) {
	o := newOrigin(t, misbehave)
	s, p := newStore(t), files{o.URL}
	first := record.NewRecorder(s, record.Options{Upstream: quick(t)})
	defer first.Close()
	if _, b, err := first.Get(t.Context(), p, p.item("fine")); err != nil {
		t.Fatal(err)
	} else {
		b.Close()
	}
	l := first.Lock()
	path := filepath.Join(s.Dir(), "blobs", "sha256", l.Entries[0].Blob.Encoded())
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, bytes.ToUpper(content), 0o600)); err != nil {
		t.Fatal(err)
	}
	judge := func(change func(e *lockfile.Entry)) *record.Replayer {
		other := &lockfile.Lock{Entries: slices.Clone(l.Entries)}
		change(&other.Entries[0])
		return record.NewReplayer(s, other)
	}
	for name, change := range map[string]func(e *lockfile.Entry){"mutable": func(e *lockfile.Entry) { e.Mutable = true }, "unproved": func(e *lockfile.Entry) { e.Proof = lockfile.Proof{} }} {
		r := judge(change)
		if _, _, err := r.Get(t.Context(), p, p.item("fine")); errs.KindOf(err) != errs.Untrusted || len(r.Misses()) != 1 {
			t.Errorf("%s: error %v", name, err)
		}
	}
	r := judge(func(*lockfile.Entry) {})
	_, b, err := r.Get(t.Context(), p, p.item("fine"))
	if err != nil || len(r.Misses()) != 0 {
		t.Fatalf("what the client judges: %v", err)
	}
	b.Close()
	r.Inspect(t.Context())
	if list := r.Misses(); len(list) != 1 || !errors.Is(list[0], digest.ErrMismatch) || !strings.Contains(list[0].Error(), "files fine") {
		t.Errorf("misses %v", list)
	}

	again := record.NewRecorder(s, record.Options{Upstream: quick(t), Lock: l})
	defer again.Close()
	_, b, err = again.Get(t.Context(), p, p.item("fine"))
	if err != nil || o.asked.Load() != 2 {
		t.Fatalf("%v, asked %d times", err, o.asked.Load())
	}
	b.Close()
	if err := errors.Join(again.Settle(), store.Verify(t.Context(), s, l.Entries[0].Blob)); err != nil {
		t.Error(err)
	}
}

func TestWhatFailsItsProofIsNotStored(t *testing.T) {
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "bad thing") })
	s, p := newStore(t), files{o.URL}
	r := record.NewRecorder(s, record.Options{Upstream: quick(t)})
	defer r.Close()
	if _, _, err := r.Get(t.Context(), p, p.item("x")); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("error %v", err)
	}
	if n := blobs(t, s); n != 0 {
		t.Errorf("%d blobs", n)
	}
}

func TestManyClientsOneTransfer(t *testing.T) {
	const clients = 500
	var arrived sync.WaitGroup
	arrived.Add(clients)
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived.Wait()
		_, _ = w.Write(content)
	})
	s, p := newStore(t), files{o.URL}
	r := record.NewRecorder(s, record.Options{Upstream: quick(t)})
	defer r.Close()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			arrived.Done()
			_, b, err := r.Get(t.Context(), p, p.item("x"))
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if n := o.asked.Load(); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}

func TestAClientThatLeavesDoesNotEndTheOthers(t *testing.T) {
	asked, go2 := make(chan struct{}), make(chan struct{})
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-go2
		_, _ = w.Write(content)
	})
	p := files{o.URL}
	r := record.NewRecorder(newStore(t), record.Options{Upstream: quick(t)})
	defer r.Close()
	ctx, leave := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	ask := func(ctx context.Context, c chan<- error) {
		_, b, err := r.Get(ctx, p, p.item("x"))
		if err == nil {
			b.Close()
		}
		c <- err
	}
	go ask(ctx, first)
	<-asked
	go ask(t.Context(), second)
	for waiting := 0; waiting < 2; {
		waiting = r.Waiters("files", "x")
	}
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(go2)
	if err := <-second; err != nil {
		t.Error(err)
	}
}
