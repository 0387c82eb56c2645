package netcache_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/httpx"
	"overland/internal/netcache"
	"overland/internal/netcache/server"
	"overland/internal/origin"
	"overland/internal/testkit/badlink"
)

// far is a network cache that counts its requests, or something that only looks like one.
type far struct {
	*httptest.Server
	shelf *server.Shelf

	mu    sync.Mutex
	asked []string
	lie   http.HandlerFunc // in place of the network cache
}

func newFar(t *testing.T) *far {
	f := &far{shelf: shelf(t)}
	honest := start(f.shelf, options{Policy: server.Policy{Open: true}}).Mount("/cache", "/dir", nil)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.asked = append(f.asked, r.URL.Path)
		lie := f.lie
		f.mu.Unlock()
		if lie != nil {
			lie(w, r)
			return
		}
		honest.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *far) set(lie http.HandlerFunc) { f.mu.Lock(); f.lie = lie; f.mu.Unlock() }

// requests returns how many came since the last call.
func (f *far) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.asked)
	f.asked = nil
	return n
}

// near serves a shelf in front of the fars.
func near(t *testing.T, o options, fars ...*far) (base string, s *server.Shelf) {
	t.Helper()
	s = shelf(t)
	transport := &http.Transport{}
	up := &server.Through{
		Fetch: &origin.Client{Transport: transport, Wait: time.Millisecond, Tries: 2, Stall: 2 * time.Second, Dir: t.TempDir()},
		Fresh: time.Nanosecond, Absent: time.Nanosecond, Down: time.Nanosecond,
	}
	if o.Through != nil {
		up.Fresh, up.Kept = o.Through.Fresh, o.Through.Kept
	}
	for _, f := range fars {
		up.Blobs, up.Lists = append(up.Blobs, f.URL+"/cache"), append(up.Lists, f.URL+"/dir")
	}
	if o.Through = up; len(fars) == 0 {
		o.Through = nil
	}
	o.Policy.Open = true
	n := start(s, o)
	srv := httptest.NewServer(n.Mount("/shacache", "/shadir", nil))
	t.Cleanup(func() { srv.Close(); n.Close(); transport.CloseIdleConnections() })
	return srv.URL, s
}

func put(t *testing.T, s *server.Shelf, b string) string {
	t.Helper()
	name, _, err := s.PutBlob(t.Context(), strings.NewReader(b), "", -1, maxBlob)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// listed returns the notes of the entries of key at base, in their order.
func listed(t *testing.T, base, key string) string {
	t.Helper()
	a := do(t, nil, "GET", base+"/shadir/"+key, nil)
	if a.status != 200 {
		return fmt.Sprint(a.status)
	}
	list, bad, err := netcache.ParseList(strings.NewReader(a.body))
	if err != nil || bad > 0 {
		t.Fatalf("%q: %d bad entries, %v", a.body, bad, err)
	}
	var all []string
	for _, e := range list {
		all = append(all, e.Text("note"))
	}
	return strings.Join(all, " ")
}

func add(t *testing.T, s *server.Shelf, key string, all ...string) {
	t.Helper()
	for _, n := range all {
		r := recordOf(key, n)
		r.Time = time.Now()
		if err := s.Add(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// A blob comes once, and is there when upstream is not. Such a blob may be collected;
// one that was put here may not.
func TestABlobPasses(t *testing.T) {
	f := newFar(t)
	var kept []string
	base, s := near(t, options{Through: &server.Through{Kept: func(_ context.Context, name string, d digest.Digest, n int64) error {
		kept = append(kept, fmt.Sprint(name, d, n))
		return nil
	}}}, f)
	name := put(t, f.shelf, "egg")
	for range 3 {
		if a := do(t, nil, "GET", base+"/shacache/"+name, nil); a.status != 200 || a.body != "egg" {
			t.Errorf("got %d %q", a.status, a.body)
		}
	}
	if n := f.requests(); n != 1 || len(kept) != 1 {
		t.Errorf("%d requests upstream, kept %v", n, kept)
	}
	roots := func() (n int) {
		if err := s.Blobs(t.Context(), func(string, digest.Digest, int64) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := roots(); n != 0 {
		t.Errorf("%d blobs must be kept", n)
	}
	f.Close()
	if a := do(t, nil, "GET", base+"/shacache/"+name, nil); a.status != 200 {
		t.Errorf("upstream is dead: %d", a.status)
	}
	if a := do(t, nil, "GET", base+"/shacache/"+nameOf([]byte("ham")), nil); a.status != 503 {
		t.Errorf("what nobody has, with upstream dead: %d", a.status)
	}
	if a := do(t, nil, "POST", base+"/shacache", strings.NewReader("egg")); a.status != 201 || roots() != 1 {
		t.Errorf("put here: %d, %d blobs must be kept", a.status, roots())
	}
}

// An evicted blob is fetched again.
func TestAPassedBlobMayGo(t *testing.T) {
	f := newFar(t)
	base, s := near(t, options{}, f)
	name := put(t, f.shelf, "egg")
	for range 2 {
		if a := do(t, nil, "GET", base+"/shacache/"+name, nil); a.status != 200 || a.body != "egg" {
			t.Errorf("got %d %q", a.status, a.body)
		}
		if err := depotOf(t, s).Remove(t.Context(), digest.Of([]byte("egg"))); err != nil {
			t.Fatal(err)
		}
	}
}

// What an upstream says instead of the blob is not kept, and the next upstream is asked.
func TestABlobThatIsAnother(t *testing.T) {
	for name, lie := range map[string]http.HandlerFunc{
		"other bytes": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ham") },
		"a page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>log in</html>")
		},
		"short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "e")
		},
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a loop":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
	} {
		bad, good := newFar(t), newFar(t)
		bad.set(lie)
		base, s := near(t, options{}, bad)
		egg := put(t, good.shelf, "egg")
		if a := do(t, nil, "GET", base+"/shacache/"+egg, nil); a.status != 503 {
			t.Errorf("%s: got %d %q", name, a.status, a.body)
		}
		if err := depotOf(t, s).List(t.Context(), func(d digest.Digest, _ int64) error { t.Errorf("%s: kept %s", name, d); return nil }); err != nil {
			t.Error(err)
		}
		base, _ = near(t, options{}, bad, good)
		if a := do(t, nil, "GET", base+"/shacache/"+egg, nil); a.status != 200 || a.body != "egg" {
			t.Errorf("%s, then the next upstream: got %d %q", name, a.status, a.body)
		}
	}
}

// A transfer that is cut goes on where it was, and those who ask meanwhile get it too.
func TestABlobIsCut(t *testing.T) {
	f := newFar(t)
	big := strings.Repeat("0123456789", 200_000)
	name := put(t, f.shelf, big)
	link, err := badlink.Listen(badlink.To(strings.TrimPrefix(f.URL, "http://")), badlink.Faults{CutEvery: 700_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	cut := &far{Server: &httptest.Server{URL: "http://" + link.Addr()}}
	base, _ := near(t, options{}, cut)
	done := make(chan answer)
	for range 8 {
		go func() { done <- do(t, nil, "GET", base+"/shacache/"+name, nil) }()
	}
	for range 8 {
		if a := <-done; a.status != 200 || a.body != big {
			t.Errorf("got %d, %d bytes", a.status, len(a.body))
		}
	}
	if c := link.Counts(); c.Cuts < 2 || float64(c.Down) > 1.1*float64(len(big)) {
		t.Errorf("%d cuts, %d bytes moved for %d", c.Cuts, c.Down, len(big))
	}
}

// That nobody has a blob is believed for a while, and who is dead is left alone for a while.
func TestUpstreamIsNotAskedAgainAndAgain(t *testing.T) {
	f := newFar(t)
	s := start(shelf(t), options{Through: &server.Through{
		Blobs: []string{f.URL + "/cache"}, Lists: []string{f.URL + "/dir"},
		Fetch: &origin.Client{Wait: time.Millisecond, Tries: 2, Dir: t.TempDir()},
	}})
	srv := httptest.NewServer(s.Mount("/shacache", "/shadir", nil))
	t.Cleanup(func() { srv.Close(); s.Close(); http.DefaultTransport.(*http.Transport).CloseIdleConnections() })
	for range 3 {
		if a := do(t, nil, "GET", srv.URL+"/shacache/"+nameOf([]byte("ham")), nil); a.status != 404 {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}
	if n := f.requests(); n != 1 {
		t.Errorf("%d requests for what nobody has", n)
	}
	f.set(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for _, path := range []string{"/shacache/" + nameOf([]byte("a")), "/shacache/" + nameOf([]byte("b")), "/shadir/k"} {
		if a := do(t, nil, "GET", srv.URL+path, nil); a.status != 503 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if n := f.requests(); n == 0 || n > 4 { // the transport asks again on its own too
		t.Errorf("%d requests to a dead upstream", n)
	}
}

// One that does not answer is asked last for a while.
func TestTheDeadAreAskedLast(t *testing.T) {
	dead, alive := newFar(t), newFar(t)
	dead.set(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	transport := &http.Transport{}
	s := start(shelf(t), options{Through: &server.Through{
		Blobs: []string{dead.URL + "/cache", alive.URL + "/cache"},
		Fetch: &origin.Client{Wait: time.Millisecond, Tries: 2, Dir: t.TempDir(), Transport: transport},
	}})
	srv := httptest.NewServer(s.Mount("/shacache", "", nil))
	t.Cleanup(func() { srv.Close(); s.Close(); transport.CloseIdleConnections() })
	for i, text := range []string{"egg", "ham", "tea"} {
		if a := do(t, nil, "GET", srv.URL+"/shacache/"+put(t, alive.shelf, text), nil); a.status != 200 || a.body != text {
			t.Errorf("%s: %d %s", text, a.status, a.body)
		}
		if n := dead.requests(); (n == 0) != (i > 0) {
			t.Errorf("%s: the dead one was asked %d times", text, n)
		}
	}
	dead.set(nil) // it is asked once nobody else has it, and is one of the living again
	for i := range 2 {
		name := put(t, dead.shelf, "rye")
		if a := do(t, nil, "GET", srv.URL+"/shacache/"+name, nil); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if err := depotOf(t, s.shelf).Remove(t.Context(), digest.Of([]byte("rye"))); err != nil {
			t.Fatal(err)
		}
		if n := alive.requests(); i > 0 && n > 0 {
			t.Errorf("the other one was asked %d times, and first", n)
		}
	}
}

// Another site that asks for what is on its way waits for it.
func TestAnotherSiteWaits(t *testing.T) {
	f := newFar(t)
	var asked atomic.Int32
	entered, release := make(chan struct{}), make(chan struct{})
	f.set(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			close(entered)
			<-release
		} else {
			defer close(release) // the one that waits has asked on its own way
		}
		_, _ = io.WriteString(w, "egg")
	})
	transport := &http.Transport{}
	s := start(shelf(t), options{Through: &server.Through{Blobs: []string{f.URL + "/cache"}, Fetch: &origin.Client{Dir: t.TempDir(), Transport: transport}}})
	srv := httptest.NewServer(httpx.WithVia(httpx.ID([32]byte{1}), nil, s.Mount("/shacache", "", nil)))
	t.Cleanup(func() { srv.Close(); s.Close(); transport.CloseIdleConnections() })
	done := make(chan answer)
	ask := func(header ...string) {
		done <- do(t, nil, "GET", srv.URL+"/shacache/"+nameOf([]byte("egg")), nil, header...)
	}
	go ask()
	<-entered
	go ask("Via", "1.1 "+httpx.ID([32]byte{2}))
	for range 2 {
		if a := <-done; a.status != 200 || a.body != "egg" {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}
}

// Three in a ring are asked for the same, and each has asked the next one before that answers:
// they say soon that nobody has it.
func TestARingThatIsAskedAtOnce(t *testing.T) {
	const n = 3
	var faces [n]atomic.Value // http.Handler
	var urls [n]string
	var came atomic.Int32
	all := make(chan struct{})
	for i := range n {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Via") != "" {
				if came.Add(1) == n {
					close(all)
				}
				<-all
			}
			faces[i].Load().(http.Handler).ServeHTTP(w, r)
		}))
		t.Cleanup(srv.Close)
		urls[i] = srv.URL
	}
	for i := range n {
		transport := &http.Transport{}
		s := start(shelf(t), options{Through: &server.Through{Blobs: []string{urls[(i+1)%n] + "/shacache"}, Fetch: &origin.Client{
			Stall: 20 * time.Second, Tries: 1, Dir: t.TempDir(), Transport: transport, Tell: func(string) bool { return true },
		}}})
		t.Cleanup(func() { s.Close(); transport.CloseIdleConnections() })
		faces[i].Store(httpx.WithVia(httpx.ID([32]byte{byte(i)}), []string{httpx.ID([32]byte{byte((i + 1) % n)})}, s.Mount("/shacache", "", nil)))
	}
	began, done := time.Now(), make(chan answer)
	for _, u := range urls {
		go func() { done <- do(t, nil, "GET", u+"/shacache/"+nameOf([]byte("absent")), nil) }()
	}
	for range n {
		if a := <-done; a.status != 404 {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}
	if took := time.Since(began); took > 10*time.Second { // half of what they wait for one that is silent
		t.Errorf("it took %v", took)
	}
}

// Who reads a list waits for a silent upstream for so long and no longer; a flood
// of blobs is told to come back.
func TestAnUpstreamIsSilent(t *testing.T) {
	f := newFar(t)
	entered, release := make(chan struct{}, mostCalls), make(chan struct{})
	f.set(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	})
	o := &server.Through{
		Blobs: []string{f.URL + "/cache"}, Lists: []string{f.URL + "/dir"}, Patience: 10 * time.Millisecond,
		Fetch: &origin.Client{Wait: time.Millisecond, Tries: 1, Stall: time.Minute, Dir: t.TempDir(), Transport: &http.Transport{}},
	}
	s := start(shelf(t), options{Policy: lab.Policy, Through: o})
	add(t, s.shelf, "k", "mine")
	mounted := s.Mount("/shacache", "/shadir", nil)
	srv := httptest.NewServer(mounted)
	t.Cleanup(func() { srv.Close(); s.Close(); o.Fetch.Transport.(*http.Transport).CloseIdleConnections() })
	if a := do(t, &http.Client{Timeout: 20 * time.Second}, "GET", srv.URL+"/shadir/k", nil); a.status != 200 || !strings.Contains(a.body, "mine") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	<-entered
	var waiting sync.WaitGroup
	for i := range mostCalls - 1 { // the list is the other one
		waiting.Go(func() {
			w := httptest.NewRecorder()
			mounted.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/shacache/"+nameOf([]byte{byte(i)}), nil))
			if w.Code != 503 {
				t.Errorf("blob %d: %d", i, w.Code)
			}
		})
		<-entered
	}
	if a := do(t, &http.Client{Timeout: 20 * time.Second}, "GET", srv.URL+"/shacache/"+nameOf([]byte("one more")), nil); a.status != 503 || !strings.Contains(a.body, "too many") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	close(release)
	waiting.Wait()
}

// Lists are merged, the newest first; what was put here stays, and everything
// is there when upstream is not.
func TestListsAreMerged(t *testing.T) {
	f := newFar(t)
	base, s := near(t, options{}, f)
	if got := listed(t, base, "k"); got != "404" {
		t.Errorf("a key that nobody put: %s", got)
	}
	add(t, f.shelf, "k", "f1", "f2")
	if got := listed(t, base, "k"); got != "f2 f1" {
		t.Errorf("got %s", got)
	}
	add(t, s, "k", "mine")
	add(t, f.shelf, "k", "f3")
	for range 2 {
		if got := listed(t, base, "k"); got != "f3 mine f2 f1" {
			t.Errorf("got %s", got)
		}
	}
	f.Close()
	if got := listed(t, base, "k"); got != "f3 mine f2 f1" {
		t.Errorf("upstream is dead: %s", got)
	}
	if got := listed(t, base, "other"); got != "503" {
		t.Errorf("another key, with upstream dead: %s", got)
	}
}

// The password of an upstream is for that upstream: not for the log, and not for who asks here.
func TestAPasswordOfAnUpstreamIsNotShown(t *testing.T) {
	f := newFar(t)
	f.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	f.URL = strings.Replace(f.URL, "://", "://me:s3cret@", 1)
	var log bytes.Buffer
	base, s := near(t, options{Log: slog.New(slog.NewTextHandler(&log, nil))}, f)
	for _, path := range []string{"/shadir/k", "/shacache/" + nameOf([]byte("x"))} {
		if a := do(t, nil, "GET", base+path, nil); a.status != 503 || strings.Contains(a.body, "s3cret") {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
	}
	f.set(nil)
	add(t, f.shelf, "k", "n")
	if got := listed(t, base, "k"); got != "n" {
		t.Fatalf("got %s", got)
	}
	list, err := s.List("k")
	if err != nil || strings.Contains(fmt.Sprint(list), "s3cret") || strings.Contains(log.String(), "s3cret") || log.Len() == 0 ||
		strings.Contains(log.String(), "ERROR") { // it will heal: no person has to act

		t.Errorf("%v, %v\n%s", list, err, &log)
	}
}

// A key is asked for as it is, and once in a while.
func TestKeysUpstream(t *testing.T) {
	f := newFar(t)
	base, _ := near(t, options{Through: &server.Through{Fresh: time.Hour}}, f)
	for _, key := range []string{"a/../../b", "file-urlmd5:x=1", "update", "a b"} {
		add(t, f.shelf, key, "n")
		for range 3 {
			if got := listed(t, base, netcache.EscapeKey(key)); got != "n" {
				t.Errorf("%s: got %s", key, got)
			}
		}
		if n := f.requests(); n != 1 {
			t.Errorf("%s: %d requests upstream", key, n)
		}
	}
}

// Entries that the policy would not take from an account are not taken from
// upstream either; the others are.
func TestPoisonUpstream(t *testing.T) {
	f := newFar(t)
	good, goodKey := rsaKey(t)
	revoked, revokedKey := rsaKey(t)
	entry := func(meta string, sig string) string { return string(body(meta, sig)) }
	sign := func(note string) string {
		sig, err := netcache.Sign(good, metadata(note))
		if err != nil {
			t.Fatal(err)
		}
		return entry(metadata(note), sig)
	}
	bad, err := netcache.Sign(revoked, metadata("revoked"))
	if err != nil {
		t.Fatal(err)
	}
	all := "[" + strings.Join([]string{
		`["{}",""]`, `["x","!"]`, `["a","b","c"]`, `{}`, `7`, entry(metadata("unsigned"), ""), entry(metadata("revoked"), bad), sign("good"), `["",null]`,
	}, ",") + "]"
	f.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, all) })
	base, _ := near(t, options{Policy: server.Policy{
		Signers: []netcache.Key{goodKey, revokedKey}, RequireKnownSigner: true, Revoked: []netcache.Key{revokedKey},
	}}, f)
	if got := listed(t, base, "k"); got != "good" {
		t.Errorf("got %s", got)
	}
	for name, text := range map[string]string{"a page": "<html>log in</html>", "an object": "{}", "cut": all[:40], "endless": "[" + strings.Repeat(" ", netcache.ListLimit)} {
		f.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
		if got := listed(t, base, "k"); got != "good" {
			t.Errorf("%s: got %s", name, got)
		}
	}
	// An entry that speaks of another key is refused under this one.
	f.set(func(w http.ResponseWriter, _ *http.Request) {
		meta := strings.Replace(metadata("moved"), "{", `{"url":"http://x/y",`, 1)
		_, _ = io.WriteString(w, "["+entry(meta, "")+"]")
	})
	base, _ = near(t, options{}, f)
	if got := listed(t, base, "file-urlmd5:00000000000000000000000000000000"); got != "404" {
		t.Errorf("an entry of another key: %s", got)
	}
}

// An entry that says when it was made stands behind what is newer, whenever it came.
func TestAnOldEntryComesLate(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	made := func(note string, at time.Time) string {
		fields := map[string]any{"sha512": nameOf([]byte(note)), "note": note}
		s := netcache.Statement{Key: "k", SHA256: digest.Of([]byte(note)), Created: at, Expires: now.Add(time.Hour), Seq: 1}
		if err := netcache.AddStatement(fields, s, private); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	f := newFar(t)
	base, s := near(t, options{Clock: clock.At(now)}, f)
	r := recordOf("k", "mine")
	r.Time = now.Add(-time.Hour)
	if err := s.Add(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for note, at := range map[string]time.Time{"old": now.Add(-2 * time.Hour), "new": now.Add(-time.Minute), "from the future": now.AddDate(1, 0, 0)} {
		if err := f.shelf.Add(t.Context(), server.Record{Key: "k", Metadata: made(note, at)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := listed(t, base, "k"); got != "from the future new mine old" {
		t.Errorf("got %s", got)
	}
}

func TestUpdate(t *testing.T) {
	f := newFar(t)
	base, s := near(t, options{}, f)
	update := func(mount string) answer { return do(t, nil, "POST", base+mount+"/update", nil) }
	add(t, f.shelf, "a", "a1")
	add(t, f.shelf, "b", "b1")
	add(t, f.shelf, "c", "c1")
	add(t, s, "b", "mine")
	for _, k := range []string{"a", "b", "c"} {
		listed(t, base, k)
	}
	if a := update("/shadir"); a.status != 200 || a.body != `{"removed":[],"updated":[]}` {
		t.Errorf("nothing to do: %d %s", a.status, a.body)
	}
	f.set(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/c") {
			_, _ = w.Write([]byte("[" + string(body(metadata("c2"), "")) + "]"))
			return
		}
		http.NotFound(w, r)
	})
	if a := update("/shacache"); a.status != 200 || a.body != `{"removed":["a","b"],"updated":["c"]}` {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if a, b, c := listed(t, base, "a"), listed(t, base, "b"), listed(t, base, "c"); a != "404" || b != "mine" || c != "c2" {
		t.Errorf("got %s, %s, %s", a, b, c)
	}
	f.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	if a := update("/shadir"); a.status != 502 {
		t.Errorf("upstream fails: %d %s", a.status, a.body)
	}
	if b := listed(t, base, "b"); b != "mine" {
		t.Errorf("got %s", b)
	}
	log := shelf(t)
	closed := httptest.NewServer(start(log, options{}).Mount("/shacache", "/shadir", nil))
	t.Cleanup(closed.Close)
	if a := do(t, nil, "POST", closed.URL+"/shadir/update", nil); a.status != 403 {
		t.Errorf("who may not write: %d", a.status)
	}
}

// Without an upstream, an update drops what has no blob.
func TestUpdateAlone(t *testing.T) {
	base, s := near(t, options{})
	add(t, s, "gone", "x")
	add(t, s, "half", "y", "egg")
	put(t, s, "egg")
	a := do(t, nil, "POST", base+"/shadir/update", bytes.NewReader(nil))
	if a.status != 200 || a.body != `{"removed":["gone","half"],"updated":[]}` {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if got := listed(t, base, "half"); got != "egg" {
		t.Errorf("got %s", got)
	}
}
