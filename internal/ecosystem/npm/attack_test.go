package npm_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"

	"overland/internal/ecosystem/npm"
	"overland/internal/store"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store/dir"
	"overland/internal/testkit/recording"
)

// registry is one in memory, and whoever sits between it and us.
type registry struct {
	mu    sync.Mutex
	pages map[string][]byte // by path, unescaped
}

func (g *registry) put(path string, b []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pages[path] = b
}

func (g *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	b := g.pages[r.URL.Path]
	g.mu.Unlock()
	if b == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}

var tarball = []byte("\x1f\x8b a tarball, which nobody unpacks here")

func sri(b []byte) string {
	sum := sha512.Sum512(b)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// manifest is what a registry says of a version.
type manifest struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Dist    dist   `json:"dist"`
}

type dist struct {
	Tarball   string `json:"tarball"`
	Integrity string `json:"integrity"`
	Shasum    string `json:"shasum"`
}

// publish puts a package with one version; d lacks only the address of the tarball.
func (g *registry) publish(url, name string, d dist) {
	file := path.Base(name) + "-1.0.0.tgz"
	d.Tarball = url + "/reg/" + name + "/-/" + file
	m := manifest{Name: name, Version: "1.0.0", Dist: d}
	whole, _ := json.Marshal(map[string]any{"name": name, "versions": map[string]manifest{"1.0.0": m}})
	one, _ := json.Marshal(m)
	g.put("/reg/"+name, whole)
	g.put("/reg/"+name+"/1.0.0", one)
	g.put("/reg/"+name+"/-/"+file, tarball)
}

type session struct {
	t *testing.T
	*registry
	url      string
	protocol *npm.Protocol
	recorder *record.Recorder
	store    *dir.Store
}

func newSession(t *testing.T) *session {
	g := &registry{pages: map[string][]byte{}}
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	s := &session{t: t, registry: g, url: srv.URL, store: recording.Store(t)}
	var err error
	if s.protocol, err = npm.New(npm.Config{Registry: srv.URL + "/reg"}, s); err != nil {
		t.Fatal(err)
	}
	s.recorder = recording.Recorder(t, s.store, nil)
	g.publish(srv.URL, "tea", dist{Integrity: sri(tarball)})
	g.publish(srv.URL, "@leaf/tea", dist{Integrity: sri(tarball)})
	return s
}

// Get gets the manifest of a tarball from the recorder of the moment.
func (s *session) Get(ctx context.Context, p record.Protocol, it record.Item) (lockfile.Entry, store.Blob, error) {
	return s.recorder.Get(ctx, p, it)
}

// fetch asks as npm does and returns what is served.
func (s *session) fetch(path string) (lockfile.Entry, string, error) {
	s.t.Helper()
	return recording.Fetch(s.t, s.recorder, s.protocol, path, "application/vnd.npm.install-v1+json; q=1.0, application/json")
}

func TestAPackageIsRecordedWithItsProof(t *testing.T) {
	for _, c := range []struct{ ask, key, file string }{
		{"/tea", "tea#install", "/tea/-/tea-1.0.0.tgz"},
		{"/@leaf%2ftea", "@leaf/tea#install", "/@leaf/tea/-/tea-1.0.0.tgz"},
		{"/@leaf/tea/1.0.0", "@leaf/tea/1.0.0", "/@leaf/tea/-/tea-1.0.0.tgz"},
		{"", "", "/@leaf/tea/-/tea-1.0.0.tgz"}, // the manifest is fetched by itself
	} {
		s := newSession(t)
		if c.ask != "" {
			e, text, err := s.fetch(c.ask)
			if err != nil || e.Key != c.key || !e.Mutable {
				t.Fatalf("%s: %+v, %v", c.ask, e, err)
			}
			if !strings.Contains(text, `"tarball":"http://recorder/npm`+c.file+`"`) || strings.Contains(text, s.url) {
				t.Errorf("%s: served %s", c.ask, text)
			}
		}
		e, text, err := s.fetch(c.file)
		if err != nil || text != string(tarball) || e.Proof != (lockfile.Proof{Kind: npm.ProofIntegrity, Value: sri(tarball)}) || e.Mutable {
			t.Errorf("%s: %+v, %v", c.file, e, err)
		}
		if n := len(s.recorder.Lock().Entries); n != 2 {
			t.Errorf("%s: %d entries", c.ask, n)
		}
	}
}

func TestAnOldPackageHasOnlyASha1(t *testing.T) {
	s := newSession(t)
	sum := sha1.Sum(tarball)
	s.publish(s.url, "tea", dist{Shasum: hex.EncodeToString(sum[:])})
	if e, _, err := s.fetch("/tea/-/tea-1.0.0.tgz"); err != nil || !strings.HasPrefix(e.Proof.Value, "sha1-") {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestAttacks(t *testing.T) {
	const file = "/tea/-/tea-1.0.0.tgz"
	sum1 := sha1.Sum(tarball)
	promise := func(d dist) func(*session) { return func(s *session) { s.publish(s.url, "tea", d) } }
	page := func(path, text string) func(*session) {
		return func(s *session) { s.put("/reg"+path, []byte(text)) }
	}
	for _, c := range []struct {
		name   string
		before string // fetched before the attack
		attack func(*session)
		ask    string
		stored int // documents that are stored by the attempt
		want   string
	}{
		{"tampered tarball", "/tea", page(file, "\x1f\x8b evil"), file, 0, "the registry promises"},
		{"tampered tarball, npm ci", "", page(file, "\x1f\x8b evil"), file, 1, "the registry promises"},
		{"web page for a tarball", "/tea", page(file, "Welcome! <html>log in</html>"), file, 0, "the registry promises"},
		{"only the weaker hash is right", "", promise(dist{Integrity: "sha1-" + base64.StdEncoding.EncodeToString(sum1[:]) + " " + sri([]byte("x"))}), file, 1, "the registry promises"},
		{"right shasum beside a wrong integrity", "", promise(dist{Integrity: sri([]byte("x")), Shasum: hex.EncodeToString(sum1[:])}), file, 1, "the registry promises"},
		{"no integrity", "", promise(dist{}), file, 1, "no integrity"},
		{"unknown algorithm", "", promise(dist{Integrity: "md5-AAAA"}), file, 1, "no integrity"},
		{"short integrity", "", promise(dist{Integrity: "sha512-AAAA"}), file, 1, "integrity"},
		{"tarball of no version", "/tea", page("/tea/-/tea-6.6.6.tgz", "x"), "/tea/-/tea-6.6.6.tgz", 0, "nothing that the registry says"},
		{"web page for a packument", "", page("/tea", "Welcome! <html>log in</html>"), "/tea", 0, "packument"},
		{"packument of another package", "", page("/tea", `{"name":"evil","versions":{}}`), "/tea", 0, "it is of"},
		{"version of another package", "", page("/tea", `{"name":"tea","versions":{"1.0.0":{"name":"evil","version":"1.0.0"}}}`), "/tea", 0, "is of evil"},
		{"two documents in one", "", page("/tea", `{"name":"tea"}{"name":"evil"}`), "/tea", 0, "more than one"},
		{"cut packument", "", page("/tea", `{"name":"tea","versions":{`), "/tea", 0, "EOF"},
		{"manifest of another version", "", page("/tea/1.0.0", `{"name":"tea","version":"6.6.6"}`), "/tea/1.0.0", 0, "it is of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t)
			if c.before != "" {
				if _, _, err := s.fetch(c.before); err != nil {
					t.Fatal(err)
				}
				c.stored++
			}
			c.attack(s)
			_, _, err := s.fetch(c.ask)
			if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (%v), want %q", err, errs.KindOf(err), c.want)
			}
			if n := recording.Blobs(t, s.recorder, s.store); n != c.stored {
				t.Errorf("%d blobs, want %d", n, c.stored)
			}
		})
	}
}

// A registry may keep a tarball anywhere: on another host, with a query, below another path. A
// client gets it from where the document came from all the same, proved, and nothing else that way.
func TestTarballsElsewhere(t *testing.T) {
	s := newSession(t)
	s.put("/dl/tea", tarball)
	s.put("/dl/evil", []byte("evil"))
	doc := func(address string) string {
		return fmt.Sprintf(`{"name":"tea","versions":{"1.0.0":{"name":"tea","version":"1.0.0","dist":{"tarball":%q,"integrity":%q}}},`+
			`"readme":"\"tarball\":\"%s/reg/tea/-/x.tgz\""}`, address, sri(tarball), s.url)
	}
	for _, address := range []string{s.url + "/dl/tea?name=tea&v=1", s.url + "/dl/tea"} {
		s.recorder = recording.Recorder(t, recording.Store(t), nil)
		s.put("/reg/tea", []byte(doc(address)))
		_, text, err := s.fetch("/tea")
		_, after, _ := strings.Cut(text, `"tarball":"http://recorder/npm`)
		at, _, _ := strings.Cut(after, `"`)
		if err != nil || text != doc("http://recorder/npm"+at) || !strings.HasPrefix(at, "/tea/-/") {
			t.Fatalf("%s, %v", text, err)
		}
		e, body, err := s.fetch(at)
		if err != nil || body != string(tarball) || e.Proof.Value != sri(tarball) {
			t.Errorf("%s: %+v, %v", address, e, err)
		}
		// What nobody says to be the package's is not fetched.
		if _, body, err := s.fetch("/tea/-/outside-00000000000000000000000000000000.tgz"); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s, %v", body, err)
		}
	}
	s.recorder = recording.Recorder(t, recording.Store(t), nil)
	s.put("/reg/tea", []byte(doc("file:///etc/passwd")))
	if _, text, err := s.fetch("/tea"); err != nil || !strings.Contains(text, `"file:///etc/passwd"`) {
		t.Errorf("%s, %v", text, err)
	}
}

// TestALockThatSomebodyChanged: a line whose blob and proof were changed together is
// not what the document promises.
func TestALockThatSomebodyChanged(t *testing.T) {
	s := newSession(t)
	for _, path := range []string{"/tea", "/tea/-/tea-1.0.0.tgz"} {
		if _, _, err := s.fetch(path); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(lock *lockfile.Lock) []error {
		r := record.NewReplayer(s.store, lock)
		elsewhere, err := npm.New(npm.Config{Registry: "https://mirror.example/npm"}, r) // of the machine that verifies
		if err != nil {
			t.Fatal(err)
		}
		return record.Verify(t.Context(), r, elsewhere)
	}
	lock := s.recorder.Lock()
	if bad := verify(lock); len(bad) != 0 {
		t.Fatal(bad)
	}
	evil := []byte("\x1f\x8b evil")
	d, n, err := s.store.Put(t.Context(), bytes.NewReader(evil), "", int64(len(evil)))
	if err != nil {
		t.Fatal(err)
	}
	e := &lock.Entries[1]
	e.Blob, e.Size, e.Proof.Value = d, n, sri(evil)
	for _, want := range []string{"the registry promises", "never recorded: npm tea"} { // then without the document
		bad := verify(lock)
		if len(bad) != 1 || errs.KindOf(bad[0]) != errs.Untrusted || !strings.Contains(bad[0].Error(), want) {
			t.Errorf("%v, want %q", bad, want)
		}
		lock.Entries = lock.Entries[len(lock.Entries)-1:]
	}
}

// TestAPackageThatWasPublishedAgain: document and tarball changed together, and the
// depot has lost what is locked.
func TestAPackageThatWasPublishedAgain(t *testing.T) {
	s := newSession(t)
	const file = "/tea/-/tea-1.0.0.tgz"
	e, _, err := s.fetch(file)
	if err != nil {
		t.Fatal(err)
	}
	locked := s.recorder.Lock()
	again := []byte("\x1f\x8b another tarball")
	s.publish(s.url, "tea", dist{Integrity: sri(again)})
	s.put("/reg"+file, again)
	s.recorder = record.NewRecorder(recording.Store(t), record.Options{Lock: locked, Upstream: &origin.Client{Tries: 1}})
	defer s.recorder.Close()
	_, _, err = s.fetch(file)
	changed := (*record.ChangedError)(nil)
	if !errors.As(err, &changed) || changed.Locked != e.Blob || changed.Got != digest.Of(again) {
		t.Errorf("error %v", err)
	}
	if d := lockfile.Diff(locked, s.recorder.Lock()); len(d) != 0 {
		t.Errorf("the lock has changed: %v", d)
	}
}

// What stands in an index never leads nearer than the index: neither to this machine nor to its network.
func TestAnIndexNamesNothingNearer(t *testing.T) {
	const index, address = "http://192.0.2.1/", "http://127.0.0.1:1/tea.tgz"
	p, err := npm.New(npm.Config{Registry: index}, nil)
	if err != nil {
		t.Fatal(err)
	}
	it, err := p.ItemOf("tea/-/outside-" + digest.Of([]byte(address)).Encoded()[:32] + ".tgz")
	if err == nil {
		it, err = p.Locate(t.Context(), it, func(_ context.Context, key string) (io.ReadCloser, error) {
			if strings.Contains(key, "/") {
				return nil, errs.Errorf(errs.NotFound, "no manifest")
			}
			return io.NopCloser(strings.NewReader(`{"name":"tea","versions":{"1.0.0":{"name":"tea","version":"1.0.0","dist":{"tarball":"` + address + `","shasum":"x"}}}}`)), nil
		})
	}
	if err != nil || it.Upstream != address {
		t.Fatalf("asked at %s, %v", it.Upstream, err)
	}
	if _, err := (&origin.Client{Dir: t.TempDir()}).Get(t.Context(), it.Request()); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("%v", err)
	}
}
