package pypi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"overland/internal/digest"
	"overland/internal/ecosystem/pypi"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
	"overland/internal/store/dir"
	"overland/internal/testkit/pack"
	"overland/internal/testkit/recording"
)

const mediaJSON = "application/vnd.pypi.simple.v1+json"

const wheelFile = "tea-1.0-py3-none-any.whl"

var wheel = pack.Wheel("tea", "1.0", "WORD = 'tea'\n")

type session struct {
	t *testing.T
	*recording.Origin
	protocol *pypi.Protocol
	recorder *record.Recorder
	store    *dir.Store
}

func newSession(t *testing.T, index http.Handler) *session {
	t.Helper()
	o := recording.NewOrigin(t, index)
	s := &session{t: t, Origin: o, store: recording.Store(t)}
	var err error
	if s.protocol, err = pypi.New(pypi.Config{o.URL + "/simple"}, s); err != nil {
		t.Fatal(err)
	}
	s.begin(nil)
	return s
}

// begin starts a recorder with what is locked.
func (s *session) begin(locked *lockfile.Lock) {
	s.recorder = recording.Recorder(s.t, s.store, locked)
}

// Get gets what proves a file from the recorder of the moment.
func (s *session) Get(ctx context.Context, p record.Protocol, it record.Item) (lockfile.Entry, store.Blob, error) {
	return s.recorder.Get(ctx, p, it)
}

// fetch asks as pip does and returns what is served.
func (s *session) fetch(path, accept string) (lockfile.Entry, string, error) {
	s.t.Helper()
	return recording.Fetch(s.t, s.recorder, s.protocol, path, accept)
}

func files() map[string][]byte {
	return map[string][]byte{wheelFile: wheel, wheelFile + ".metadata": pack.Metadata("tea", "1.0")}
}

func TestAFileIsRecordedWithItsProof(t *testing.T) {
	const json, page = mediaJSON + ", text/html;q=0.1", "text/html"
	for _, c := range []struct {
		ask, accept, key string
		old              bool // the index knows no JSON
	}{
		{"/simple/tea/", json, "tea", false},
		{"/simple/Tea", json, "tea", true},
		{"/simple/tea/", page, "tea#html", false},
		{"", "", "tea", false}, // a file alone: what the index says of it is fetched by itself
	} {
		s := newSession(t, pack.PyPI{Files: files(), HTMLOnly: c.old})
		if c.ask != "" {
			e, got, err := s.fetch(c.ask, c.accept)
			if err != nil || e.Key != c.key || !e.Mutable || e.Proof != (lockfile.Proof{Kind: pypi.ProofIndex, Value: "tea"}) {
				t.Fatalf("%+v: %+v, %v", c, e, err)
			}
			if !strings.Contains(got, `"http://recorder/pypi/files/tea/`+wheelFile) || strings.Contains(got, "../") {
				t.Errorf("%+v: served %s", c, got)
			}
		}
		want := lockfile.Proof{Kind: pypi.ProofFile, Value: digest.Of(wheel).Encoded()}
		e, got, err := s.fetch("/files/tea/"+wheelFile, "")
		if err != nil || got != string(wheel) || e.Proof != want || e.Mutable {
			t.Errorf("%+v: %+v, %v", c, e, err)
		}
		e, _, err = s.fetch("/files/tea/"+wheelFile+".metadata", "")
		if err != nil || e.Proof.Kind != pypi.ProofFile {
			t.Errorf("%+v: %+v, %v", c, e, err)
		}
		if l := s.recorder.Lock(); len(l.Entries) != 3 || l.Entries[0].Key != c.key {
			t.Errorf("%+v: %+v", c, l)
		}
	}
}

func TestAttacks(t *testing.T) {
	const file, index = "/files/" + wheelFile, "/simple/tea/"
	zeros := strings.Repeat("0", 64)
	page := func(path, body string) func(*session) {
		return func(s *session) { s.Answer(path, recording.Text("application/octet-stream", body)) }
	}
	portal := func(path string) func(*session) {
		return func(s *session) {
			s.Answer(path, recording.Text("text/html", `<!DOCTYPE html><a href="/login">log in</a><a href="app-1.0.zip">get our app</a>`))
		}
	}
	link := func(address string) func(*session) {
		return func(s *session) { s.Answer(index, recording.Text("text/html", `<a href="`+address+`">x</a>`)) }
	}
	for _, c := range []struct {
		name   string
		before bool // the index is fetched before the attack
		attack func(*session)
		ask    string
		kind   errs.Kind
		stored int // documents that are stored by the attempt
		want   string
	}{
		{"another wheel", true, page("/files/"+wheelFile, string(pack.Wheel("tea", "1.0", "EVIL"))), "/files/tea/" + wheelFile, errs.Untrusted, 0, digest.Of(wheel).Encoded()},
		{"another wheel, no index before", false, page(file, "PK evil"), "/files/tea/" + wheelFile, errs.Untrusted, 1, "the index promises"},
		{"wrong hash in the index", false, link(file + "#sha256=" + zeros), "/files/tea/" + wheelFile, errs.Untrusted, 1, "the index promises"},
		{"wrong metadata", true, page(file+".metadata", "Name: evil"), "/files/tea/" + wheelFile + ".metadata", errs.Untrusted, 0, "the index promises"},
		{"portal for a wheel", true, portal(file), "/files/tea/" + wheelFile, errs.Unavailable, 0, "a web page in place of it"},
		{"portal for an index", false, portal(index), "/simple/tea/", errs.Untrusted, 0, "captive portal"},
		{"short wheel", true, func(s *session) {
			s.Answer(file, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(wheel)))
				_, _ = w.Write(wheel[:100])
			})
		}, "/files/tea/" + wheelFile, errs.Unavailable, 0, "broke off after 100 bytes"},
		{"short wheel, called whole", true, page(file, string(wheel[:100])), "/files/tea/" + wheelFile, errs.Untrusted, 0, "the index promises"},
		{"index of another project", false, page(index, `{"meta":{"api-version":"1.0"},"name":"evil","files":[]}`), "/simple/tea/", errs.Untrusted, 0, `it is of "evil"`},
		{"index cut", false, page(index, `{"meta":{"api-version":"1.0"},"name":"tea","fil`), "/simple/tea/", errs.Untrusted, 0, "EOF"},
		{"two in one", false, page(index, `{"meta":{"api-version":"1.0"},"name":"tea"}{}`), "/simple/tea/", errs.Untrusted, 0, "more than one"},
		{"index of a later protocol", false, page(index, `{"meta":{"api-version":"2.0"},"name":"tea"}`), "/simple/tea/", errs.Untrusted, 0, "not known"},
		{"page of a later protocol", false, func(s *session) {
			s.Answer(index, recording.Text("text/html", `<meta name="pypi:repository-version" content="2.0">`))
		}, "/simple/tea/", errs.Untrusted, 0, "not known"},
		{"one name, two hashes", false, page(index, `<a href="/a/`+wheelFile+`#sha256=`+zeros+`"></a><a href="/b/`+wheelFile+`#sha256=1"></a>`), "/simple/tea/", errs.Untrusted, 0, "twice"},
		{"file that the index does not name", true, nil, "/files/tea/tea-6.6.6.tar.gz", errs.NotFound, 0, "names no tea-6.6.6.tar.gz"},
		{"metadata that the index does not name", false, link(file + "#sha256=" + zeros), "/files/tea/" + wheelFile + ".metadata", errs.NotFound, 1, "names no"},
		{"file of the machine", false, link("file:///etc/" + wheelFile), "/files/tea/" + wheelFile, errs.Untrusted, 1, "neither http nor https"},
		{"redirects without an end", true, func(s *session) {
			s.Answer(file, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, file, http.StatusFound) })
		}, "/files/tea/" + wheelFile, errs.Unavailable, 0, "redirects"},
		{"index that moves without an end", false, func(s *session) {
			s.Answer(index, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, index, http.StatusFound) })
		}, "/simple/tea/", errs.Unavailable, 0, "redirects"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t, pack.PyPI{Files: files()})
			if c.before {
				if _, _, err := s.fetch("/simple/tea/", mediaJSON); err != nil {
					t.Fatal(err)
				}
				c.stored++
			}
			if c.attack != nil {
				c.attack(s)
			}
			_, _, err := s.fetch(c.ask, mediaJSON)
			if errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (%v), want %q", err, errs.KindOf(err), c.want)
			}
			if n := recording.Blobs(t, s.recorder, s.store); n != c.stored {
				t.Errorf("%d blobs, want %d", n, c.stored)
			}
		})
	}
}

// What the index does not name is asked of nobody, whatever the request says.
func TestOnlyTheIndexNamesHosts(t *testing.T) {
	s := newSession(t, pack.PyPI{Files: files()})
	elsewhere := newSession(t, pack.PyPI{Files: map[string][]byte{"tea-2.0.tar.gz": []byte("2")}})
	s.Answer("/simple/tea/", recording.Text("text/html", `<a href="`+elsewhere.URL+`/files/tea-2.0.tar.gz#sha256=`+digest.Of([]byte("2")).Encoded()+`">`))
	if _, got, err := s.fetch("/files/tea/tea-2.0.tar.gz", ""); err != nil || got != "2" {
		t.Errorf("a host that the index names: %q, %v", got, err)
	}
	before := len(s.Asked()) + len(elsewhere.Asked())
	for _, path := range []string{"/files/tea/" + wheelFile, "/files/tea/tea-3.0.zip"} {
		if _, _, err := s.fetch(path, ""); errs.KindOf(err) != errs.NotFound {
			t.Errorf("%s: %v", path, err)
		}
	}
	if n := len(s.Asked()) + len(elsewhere.Asked()); n != before {
		t.Errorf("asked %q and %q", s.Asked(), elsewhere.Asked())
	}
}

// A file that changed under its name is not taken, and both digests are named: also when the index was changed with it.
func TestAChangedFile(t *testing.T) {
	s := newSession(t, pack.PyPI{Files: files()})
	if _, _, err := s.fetch("/files/tea/"+wheelFile, ""); err != nil {
		t.Fatal(err)
	}
	evil := pack.Wheel("tea", "1.0", "EVIL")
	s.Become(pack.PyPI{Files: map[string][]byte{wheelFile: evil}})
	locked := s.recorder.Lock()
	locked.Entries = locked.Entries[1:] // the index may move; the file is locked
	s.store = recording.Store(t)
	s.begin(locked)
	_, _, err := s.fetch("/files/tea/"+wheelFile, "")
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), digest.Of(evil).Encoded()) || !strings.Contains(err.Error(), digest.Of(wheel).Encoded()) {
		t.Error(err)
	}
}

// The proofs of a lock can be computed again from nothing but the lock and its blobs.
func TestProofsAreComputedFromTheLock(t *testing.T) {
	s := newSession(t, pack.PyPI{Files: files()})
	for _, path := range []string{"/files/tea/" + wheelFile, "/files/tea/" + wheelFile + ".metadata"} {
		if _, _, err := s.fetch(path, ""); err != nil {
			t.Fatal(err)
		}
	}
	l := s.recorder.Lock()
	open := func(_ context.Context, key string) (io.ReadCloser, error) {
		e, ok := l.Find(pypi.Name, key)
		if !ok {
			return nil, errs.Errorf(errs.NotFound, "%s", key)
		}
		return s.store.Open(t.Context(), e.Blob)
	}
	for _, e := range l.Entries {
		b, err := s.store.Open(t.Context(), e.Blob)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := (&pypi.Protocol{}).Check(t.Context(), record.Item{Protocol: pypi.Name, Key: e.Key}, b, open)
		if b.Close(); err != nil || proof != e.Proof {
			t.Errorf("%+v: %+v, %v", e, proof, err)
		}
	}
}

func TestAPasswordIsForTheIndexAlone(t *testing.T) {
	var mu sync.Mutex
	got := map[string]string{}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got["elsewhere"] = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, "2")
	}))
	t.Cleanup(elsewhere.Close)
	s := newSession(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, word, _ := r.BasicAuth()
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path] = user + ":" + word
		if r.URL.Path == "/simple/tea/" {
			_, _ = io.WriteString(w, `<a href="`+elsewhere.URL+`/tea-2.0.zip"></a><a href="/tea-1.0.zip">`)
			return
		}
		_, _ = io.WriteString(w, "1")
	}))
	p, err := pypi.New(pypi.Config{strings.Replace(s.URL, "http://", "http://me:secret@", 1) + "/simple/"}, s)
	if err != nil {
		t.Fatal(err)
	}
	s.protocol = p
	for _, name := range []string{"tea-1.0.zip", "tea-2.0.zip"} {
		e, _, err := s.fetch("/files/tea/"+name, "")
		if err != nil || e.Proof != (lockfile.Proof{}) {
			t.Errorf("without a hash nothing is proven: %+v, %v", e, err)
		}
	}
	if got["/simple/tea/"] != "me:secret" || got["/tea-1.0.zip"] != "me:secret" || got["elsewhere"] != "" {
		t.Errorf("%q", got)
	}
	s.Close()
	if _, _, err := s.fetch("/simple/milk/", ""); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// What stands in an index never leads nearer than the index: neither to this machine nor to its network.
func TestAnIndexNamesNothingNearer(t *testing.T) {
	const index, address = "http://192.0.2.1/simple", "http://127.0.0.1:1/tea-1.0.tar.gz"
	p, err := pypi.New(pypi.Config{Index: index}, nil)
	if err != nil {
		t.Fatal(err)
	}
	it, err := p.ItemOf("tea/tea-1.0.tar.gz")
	if err == nil {
		it, err = p.Locate(t.Context(), it, func(_ context.Context, key string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(`{"meta":{"api-version":"1.0"},"name":"tea","files":[{"filename":"tea-1.0.tar.gz","url":"` + address + `","hashes":{}}]}`)), nil
		})
	}
	if err != nil || it.Upstream != address {
		t.Fatalf("asked at %s, %v", it.Upstream, err)
	}
	if _, err := (&origin.Client{Dir: t.TempDir()}).Get(t.Context(), it.Request()); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("%v", err)
	}
}
