package golang_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"overland/internal/ecosystem/golang"
	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store/dir"
	"overland/internal/testkit/recording"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const goMod = "module example.org/dep\n\ngo 1.20\n"

// upstream is a module proxy with one module, and its checksum database below /sumdb/db.example/.
type upstream struct {
	*httptest.Server
	key string // of the database

	mu    sync.Mutex
	files map[string]string
	fault map[string]func(http.ResponseWriter, *http.Request, string)
	asked map[string]int
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{
		files: map[string]string{
			"example.org/dep/@v/list":        "v1.0.0\n",
			"example.org/dep/@v/v1.0.0.info": `{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}`,
			"example.org/dep/@v/v1.0.0.mod":  goMod,
			"example.org/dep/@v/v1.0.0.zip":  moduleZip(t, "example.org/dep@v1.0.0/"),
		},
		fault: map[string]func(http.ResponseWriter, *http.Request, string){},
		asked: map[string]int{},
	}
	secret, public, err := note.GenerateKey(nil, "db.example")
	if err != nil {
		t.Fatal(err)
	}
	u.key = public
	db := sumdb.NewServer(sumdb.NewTestServer(secret, u.goSum))
	mux := http.NewServeMux()
	mux.HandleFunc("/sumdb/db.example/supported", func(http.ResponseWriter, *http.Request) {})
	for _, path := range sumdb.ServerPaths {
		mux.Handle("/sumdb/db.example"+path, http.StripPrefix("/sumdb/db.example", db))
	}
	mux.HandleFunc("/", u.serve)
	u.Server = httptest.NewServer(mux)
	t.Cleanup(u.Close)
	return u
}

// goSum returns what the database says of a module: what the files are when it is first asked.
func (u *upstream) goSum(path, version string) ([]byte, error) {
	var b bytes.Buffer
	for kind, suffix := range map[string]string{"zip": "", "mod": "/go.mod"} {
		body, ok := u.files[path+"/@v/"+version+"."+kind]
		if !ok {
			return nil, os.ErrNotExist
		}
		it := record.Item{Key: path + "/@v/" + version + "." + kind}
		proof, err := new(golang.Protocol).Check(context.Background(), it, strings.NewReader(body), nil)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s %s%s %s\n", path, version, suffix, proof.Value)
	}
	return b.Bytes(), nil
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	u.mu.Lock()
	body, ok := u.files[path]
	fault := u.fault[path]
	u.asked[path]++
	u.mu.Unlock()
	switch {
	case fault != nil:
		fault(w, r, body)
	case ok:
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
	default:
		http.NotFound(w, r)
	}
}

func moduleZip(t *testing.T, prefix string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{"go.mod": goMod, "dep.go": "package dep\n\n// Word is one.\nconst Word = \"dep\"\n"} {
		f, err := z.Create(prefix + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// lab is a recorder before an upstream, and what the real go command needs to use it.
type lab struct {
	store    *dir.Store
	up       *origin.Client
	recorder *record.Recorder
	protocol *golang.Protocol
	sumdb    string // GOSUMDB
}

// acquire gets what is at key as a cache does, which asks the checksum
// database before anybody is given it.
func (l *lab) acquire(ctx context.Context, key string) (e lockfile.Entry, err error) {
	it, err := l.protocol.ItemOf(key)
	if err != nil {
		return e, err
	}
	q := &record.Acquisition{
		Protocol: l.protocol, Item: it, Store: l.store, Get: l.up.Get,
		Keep: func(ctx context.Context, a *record.Arrival) error { e = a.Entry; return a.Commit(ctx) },
	}
	return e, q.Fetch(ctx)
}

func (u *upstream) env() golang.Env { return golang.Env{GOPROXY: u.URL + ",direct", GOSUMDB: u.key} }

func newLab(t *testing.T, e golang.Env) *lab {
	t.Helper()
	s, err := dir.Open(t.TempDir(), dir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyFromEnvironment}
	t.Cleanup(tr.CloseIdleConnections)
	up := &origin.Client{Transport: tr, Wait: time.Millisecond}
	recorder := record.NewRecorder(s, record.Options{Upstream: up})
	t.Cleanup(recorder.Close)
	p, err := golang.New(e, recorder)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{store: s, up: up, recorder: recorder, protocol: p, sumdb: e.GOSUMDB}
	p.FreezeLater() // as in a session that records
	return l
}

// download runs go mod download against k with an empty cache.
func (l *lab) download(t *testing.T, k record.Getter, args ...string) (string, error) {
	t.Helper()
	srv := httptest.NewServer(record.Handler(k, l.protocol))
	defer srv.Close()
	gopath := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"mod", "download", "-modcacherw", "-json"}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "GOPROXY="+srv.URL+"/go", "GOSUMDB="+l.sumdb, "GOPATH="+gopath, "GOFLAGS=",
		"GOMODCACHE="+filepath.Join(gopath, "pkg", "mod"), "GONOSUMDB=", "GOPRIVATE=", "GOTOOLCHAIN=local")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestTheGoCommandIsRecordedAndReplayed(t *testing.T) {
	u := newUpstream(t)
	l := newLab(t, u.env())
	if out, err := l.download(t, l.recorder, "example.org/dep@latest"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lock := l.recorder.Lock()
	for _, want := range []string{"list", "v1.0.0.info", "v1.0.0.mod", "v1.0.0.zip"} {
		e, ok := lock.Find(golang.Name, "example.org/dep/@v/"+want)
		if !ok {
			t.Errorf("%s is not locked", want)
		}
		if module := strings.HasSuffix(want, "mod") || strings.HasSuffix(want, "zip"); module && e.Proof.Kind != golang.ProofTree {
			t.Errorf("%s has the proof %v", want, e.Proof)
		}
		if e.Mutable != (want == "list") {
			t.Errorf("%s: mutable %v", want, e.Mutable)
		}
	}
	if _, ok := lock.Find(golang.Name, "sumdb/db.example/lookup/example.org/dep@v1.0.0"); !ok {
		t.Error("the lookup is not locked")
	}
	u.Close()
	replay := record.NewReplayer(l.store, lock)
	if out, err := l.download(t, replay, "example.org/dep@latest"); err != nil {
		t.Errorf("%v\n%s\n%v", err, out, replay.Misses())
	}
	out, err := l.download(t, replay, "example.org/dep@v1.0.1")
	if err == nil || !strings.Contains(out, "never recorded: go example.org/dep/@v/v1.0.1.info") {
		t.Errorf("%v\n%s", err, out)
	}
	if bad := verify(t, l.store, lock, u.env()); len(bad) != 0 {
		t.Error(bad)
	}
}

// A login in the address of the checksum database is the recorder's: the command, which may be
// somebody else's script, has an address without one, in a recording and in its replay.
func TestALoginOfTheDatabaseIsNotTheCommands(t *testing.T) {
	u := newUpstream(t)
	proxy := httptest.NewServer(http.HandlerFunc(u.serve)) // knows nothing of the database
	t.Cleanup(proxy.Close)
	asked := &atomic.Int32{}
	db := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, word, _ := r.BasicAuth(); name != "anna" || word != "geheim" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		asked.Add(1)
		r.URL.Path = "/sumdb/db.example" + r.URL.Path
		u.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(db.Close)
	t.Setenv("GOPROXY", proxy.URL)
	t.Setenv("GOSUMDB", u.key+" "+strings.Replace(db.URL, "://", "://anna:geheim@", 1))
	t.Setenv("GOPRIVATE", "")
	t.Setenv("GONOSUMDB", "")
	l := newLab(t, golang.Env{GOPROXY: "off", GOSUMDB: "off"})
	runs := func(k record.Getter, recording bool) {
		t.Helper()
		c, err := golang.Tool().Record(t.Context(), tool.Session{Getter: k, Recording: recording, Runs: true})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(record.Handler(k, c.Protocol))
		defer srv.Close()
		env, err := c.Environ(tool.Place{Mount: srv.URL + "/go", Dir: t.TempDir(), OwnCaches: true})
		if err != nil || strings.Contains(strings.Join(env, " "), "geheim") {
			t.Errorf("the command is told %q, %v", env, err)
		}
		cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-modcacherw", "example.org/dep@v1.0.0")
		cmd.Dir = t.TempDir()
		cmd.Env = append(append(os.Environ(), env...), "GOFLAGS=", "GOTOOLCHAIN=local")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	runs(l.recorder, true)
	lock := l.recorder.Lock()
	if _, ok := lock.Find(golang.Name, "sumdb/db.example/lookup/example.org/dep@v1.0.0"); !ok || asked.Load() == 0 {
		t.Errorf("the database was asked %d times; the lookup is locked: %v", asked.Load(), ok)
	}
	u.Close()
	runs(record.NewReplayer(l.store, lock), false)
}

// verify judges lock without a network, as another machine does.
func verify(t *testing.T, s *dir.Store, lock *lockfile.Lock, e golang.Env) []error {
	t.Helper()
	r := record.NewReplayer(s, lock)
	p, err := golang.New(e, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	return record.Verify(t.Context(), r, p)
}

// TestALockThatSomebodyChanged is lines of a lock that were changed together with
// their blobs, by who cannot sign.
func TestALockThatSomebodyChanged(t *testing.T) {
	u := newUpstream(t)
	l := newLab(t, u.env())
	const mod, lookup = "example.org/dep/@v/v1.0.0.mod", "sumdb/db.example/lookup/example.org/dep@v1.0.0"
	it, err := l.protocol.ItemOf(mod)
	if err != nil {
		t.Fatal(err)
	}
	_, blob, err := l.recorder.Get(t.Context(), l.protocol, it)
	if err != nil {
		t.Fatal(err)
	}
	blob.Close()
	if err := l.recorder.Settle(); err != nil {
		t.Fatal(err)
	}
	u.Close()
	const evil = goMod + "require example.org/evil v1.0.0\n"
	proof, err := new(golang.Protocol).Check(t.Context(), record.Item{Key: mod}, strings.NewReader(evil), nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := proof.Value
	change := func(lock *lockfile.Lock, key, text string) *lockfile.Entry {
		d, n, err := l.store.Put(t.Context(), strings.NewReader(text), "", int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(lock.Entries, func(e lockfile.Entry) bool { return e.Key == key })
		e := &lock.Entries[i]
		e.Blob, e.Size = d, n
		return e
	}
	for what, c := range map[string]struct {
		attack func(lock *lockfile.Lock)
		says   string
	}{
		"the module": {func(lock *lockfile.Lock) { change(lock, mod, evil).Proof.Value = sum }, "the checksum database has"},
		"the module, said to be in no database": {func(lock *lockfile.Lock) {
			change(lock, mod, evil).Proof = lockfile.Proof{Kind: golang.ProofSum, Value: sum}
		}, "the checksum database has"},
		"the module and what the database says": {func(lock *lockfile.Lock) {
			old, err := l.store.Open(t.Context(), lock.Entries[slices.IndexFunc(lock.Entries, func(e lockfile.Entry) bool { return e.Key == lookup })].Blob)
			if err != nil {
				t.Fatal(err)
			}
			defer old.Close()
			b, err := io.ReadAll(old)
			if err != nil {
				t.Fatal(err)
			}
			e := change(lock, mod, evil)
			change(lock, lookup, strings.ReplaceAll(string(b), e.Proof.Value, sum))
			e.Proof.Value = sum
		}, "cannot authenticate"},
		"the module, without what the database says": {func(lock *lockfile.Lock) {
			change(lock, mod, evil).Proof.Value = sum
			lock.Entries = slices.DeleteFunc(lock.Entries, func(e lockfile.Entry) bool { return e.Key == lookup })
		}, `the lock says "sumdb `},
	} {
		lock := l.recorder.Lock()
		if bad := verify(t, l.store, lock, u.env()); len(bad) != 0 {
			t.Fatal(bad)
		}
		c.attack(lock)
		bad := verify(t, l.store, lock, u.env())
		if len(bad) != 1 || errs.KindOf(bad[0]) != errs.Untrusted || !strings.Contains(bad[0].Error(), mod) || !strings.Contains(bad[0].Error(), c.says) {
			t.Errorf("%s: %v", what, bad)
		}
	}
}

// late is a getter whose recorder comes after the protocol.
type late struct{ *record.Recorder }

// TestADatabaseThatIsSilentOrLies: a silent one is tolerated, and left alone for a
// while; a lying one is not tolerated.
func TestADatabaseThatIsSilentOrLies(t *testing.T) {
	const lookup = "/lookup/"
	for what, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   errs.Kind // Internal: it is recorded without this proof
		asked  int32
	}{
		"silent": {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, errs.Internal, 1},
		"none":   {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, errs.Internal, 2},
		"lies": {func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "1\nexample.org/dep v1.0.0/go.mod h1:x\n\ngo.sum database tree\n2\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— db.example AAAAAAAA\n")
		}, errs.Untrusted, 2},
	} {
		u := newUpstream(t)
		var asked atomic.Int32
		db := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, lookup) {
				asked.Add(1)
			}
			c.answer(w)
		}))
		t.Cleanup(db.Close)
		tr := &http.Transport{}
		t.Cleanup(tr.CloseIdleConnections)
		getter := &late{}
		p, err := golang.New(golang.Env{GOPROXY: "off", GOSUMDB: u.key + " " + db.URL}, getter) // no proxy: the database itself is asked
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			recorder := record.NewRecorder(recording.Store(t), record.Options{Upstream: &origin.Client{Transport: tr, Tries: 1}})
			defer recorder.Close()
			getter.Recorder = recorder // one that knows nothing yet
			it := record.Item{Key: "example.org/dep/@v/v1.0.0.mod"}
			proof, err := p.Check(t.Context(), it, strings.NewReader(goMod), nil)
			if err == nil {
				proof, err = p.Witness(t.Context(), it, proof)
			}
			if errs.KindOf(err) != c.want || err == nil && proof.Kind != golang.ProofSum {
				t.Errorf("%s: %v, %v", what, proof, err)
			}
		}
		if n := asked.Load(); n != c.asked {
			t.Errorf("%s: asked %d times, want %d", what, n, c.asked)
		}
	}
}

// TestAReplayDoesNotDependOnTheTreesGrowth records two modules with the database growing in
// between. TestTheDatabaseIsAskedWhileTheModuleComes has an upstream that keeps a module's archive
// back until it has been asked about its hash.
func TestTheDatabaseIsAskedWhileTheModuleComes(t *testing.T) {
	u := newUpstream(t)
	const zip, lookup = "example.org/dep/@v/v1.0.0.zip", "/sumdb/db.example/lookup/example.org/dep@v1.0.0"
	asked := make(chan struct{})
	var once sync.Once
	next := u.Config.Handler
	u.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == lookup {
			once.Do(func() { close(asked) })
		}
		next.ServeHTTP(w, r)
	})
	u.fault[zip] = func(w http.ResponseWriter, r *http.Request, body string) {
		select {
		case <-asked:
			_, _ = io.WriteString(w, body)
		case <-r.Context().Done(): // of a client that gives up, as this test does
		}
	}
	l := newLab(t, u.env())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e, err := l.acquire(ctx, zip)
	if err != nil {
		t.Fatal(err)
	}
	if e.Proof.Kind != golang.ProofTree {
		t.Errorf("proof %+v", e.Proof)
	}
	if n := l.recorder.Problems(); len(n) > 0 {
		t.Errorf("problems: %v", n)
	}
}

func TestAReplayDoesNotDependOnTheTreesGrowth(t *testing.T) {
	u := newUpstream(t)
	for _, name := range []string{"a", "b", "c"} {
		path := "example.org/" + name
		mod := "module " + path + "\n"
		u.files[path+"/@v/v1.0.0.info"] = `{"Version":"v1.0.0"}`
		u.files[path+"/@v/v1.0.0.mod"] = mod
		u.files[path+"/@v/v1.0.0.zip"] = moduleZip(t, path+"@v1.0.0/")
	}
	first := newLab(t, u.env()) // so that the database knows them
	if out, err := first.download(t, first.recorder, "example.org/a@v1.0.0", "example.org/b@v1.0.0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l := newLab(t, u.env())
	if out, err := l.download(t, l.recorder, "example.org/a@v1.0.0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := first.download(t, first.recorder, "example.org/c@v1.0.0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := l.download(t, l.recorder, "example.org/b@v1.0.0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	u.Close()
	replay := record.NewReplayer(l.store, l.recorder.Lock())
	for _, args := range [][]string{{"example.org/b@v1.0.0"}, {"example.org/a@v1.0.0"}} {
		if out, err := l.download(t, replay, args...); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func TestMisbehavingProxies(t *testing.T) {
	const file = "example.org/dep/@v/v1.0.0.zip"
	other := moduleZip(t, "example.org/dep@v9.0.0/")
	for what, c := range map[string]struct {
		fault func(w http.ResponseWriter, r *http.Request, body string)
		says  string // "" = it succeeds all the same
	}{
		"a web page": {func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Content-Type", "application/zip")
			_, _ = io.WriteString(w, "<!doctype html><title>log in</title>")
		}, "a web page"},
		"a length that is too small": {func(w http.ResponseWriter, _ *http.Request, body string) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, body[:100])
		}, "not a whole zip"},
		"a length that is too large": {func(w http.ResponseWriter, _ *http.Request, body string) {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)+10))
			_, _ = io.WriteString(w, body)
		}, "broke off"},
		"another module": {func(w http.ResponseWriter, _ *http.Request, _ string) { _, _ = io.WriteString(w, other) }, "is not one file below"},
		"cut and resumed": {func(w http.ResponseWriter, r *http.Request, body string) {
			w.Header().Set("Etag", `"1"`)
			if r.Header.Get("Range") != "" {
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
				return
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			_, _ = io.WriteString(w, body[:200])
		}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			u := newUpstream(t)
			u.fault[file] = c.fault
			l := newLab(t, u.env())
			out, err := l.download(t, l.recorder, "example.org/dep@v1.0.0")
			_, locked := l.recorder.Lock().Find(golang.Name, file)
			if ok := c.says == ""; ok != (err == nil) || ok != locked || !strings.Contains(out, c.says) {
				t.Errorf("locked %v, %v\n%s", locked, err, out)
			}
		})
	}
}

// TestAnotherModuleThanTheDatabaseKnows is a proxy that serves changed content, well formed.
func TestAnotherModuleThanTheDatabaseKnows(t *testing.T) {
	u := newUpstream(t)
	first := newLab(t, u.env())
	if out, err := first.download(t, first.recorder, "example.org/dep@v1.0.0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	u.files["example.org/dep/@v/v1.0.0.mod"] = goMod + "// changed\n"
	l := newLab(t, u.env())
	e, err := l.acquire(t.Context(), "example.org/dep/@v/v1.0.0.mod")
	if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), "the checksum database has") || e.Exists() {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestTheDatabaseIsAskedAfterTheClientWasServed: a recording does not keep a module back
// for what the database says of it.
func TestTheDatabaseIsAskedAfterTheClientWasServed(t *testing.T) {
	u := newUpstream(t)
	served := make(chan struct{})
	next := u.Config.Handler
	u.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/sumdb/db.example/lookup/") {
			select {
			case <-served:
			case <-r.Context().Done():
			}
		}
		next.ServeHTTP(w, r)
	})
	const zip, mod = "example.org/dep/@v/v1.0.0.zip", "example.org/dep/@v/v1.0.0.mod"
	record := func(key string) *lab {
		l := newLab(t, u.env())
		it, err := l.protocol.ItemOf(key)
		if err != nil {
			t.Fatal(err)
		}
		_, b, err := l.recorder.Get(t.Context(), l.protocol, it)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		return l
	}
	l := record(zip)
	close(served)
	if err := l.recorder.Settle(); err != nil {
		t.Fatal(err)
	}
	if e, ok := l.recorder.Lock().Find(golang.Name, zip); !ok || e.Proof.Kind != golang.ProofTree || len(l.recorder.Problems()) != 0 {
		t.Errorf("%+v, problems %v", e, l.recorder.Problems())
	}
	// What the database speaks against is in no lock, and the recording fails.
	u.files[mod] = goMod + "// changed\n"
	l = record(mod)
	if err := l.recorder.Settle(); errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), "the checksum database has") {
		t.Errorf("error %v", err)
	}
	if _, ok := l.recorder.Lock().Find(golang.Name, mod); ok || len(l.recorder.Problems()) != 1 {
		t.Errorf("problems %v", l.recorder.Problems())
	}
}

// A module is hashed beside the go command that has it, which does the same: what is damaged within is in no lock, and the
// recording fails. A cache, whose clients may be anybody, hashes first.
func TestAModuleIsHashedBesideItsClient(t *testing.T) {
	const file = "example.org/dep/@v/v1.0.0.zip"
	u := newUpstream(t)
	damaged := []byte(u.files[file])
	damaged[bytes.Index(damaged, []byte("PK\x07\x08"))+4]++ // the sum of the first file
	damaged[bytes.Index(damaged, []byte("PK\x01\x02"))+16]++
	u.files[file] = string(damaged)
	l := newLab(t, u.env())
	it, err := l.protocol.ItemOf(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, b, err := l.recorder.Get(t.Context(), l.protocol, it); err == nil { // else it was found at once
		b.Close()
	} else if !strings.Contains(err.Error(), "checksum error") {
		t.Errorf("error %v", err)
	}
	if err := l.recorder.Settle(); errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), "checksum error") {
		t.Errorf("error %v", err)
	}
	if _, ok := l.recorder.Lock().Find(golang.Name, file); ok || len(l.recorder.Problems()) != 1 {
		t.Errorf("problems %v", l.recorder.Problems())
	}
	if _, err := l.acquire(t.Context(), file); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("a cache: %v", err)
	}
}

// TestTheMachinesOwnProxy asks the proxy and the checksum database that
// the machine is configured for.
func TestTheMachinesOwnProxy(t *testing.T) {
	e, err := golang.ReadEnv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, e)
	if out, err := l.download(t, l.recorder, "golang.org/x/sync@v0.18.0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	entry, ok := l.recorder.Lock().Find(golang.Name, "golang.org/x/sync/@v/v0.18.0.zip")
	if want := "h1:kr88TuHDroi+UVf+0hZnirlk8o8T+4MrK6mr60WkH/I="; !ok || entry.Proof.Value != want {
		t.Errorf("locked %v, proof %v, want %s", ok, entry.Proof, want)
	}
}

// Without a proxy (GOPROXY=direct) there is nothing to be had of one, at once: the go command goes
// on to where modules come from.
func TestWithoutAProxy(t *testing.T) {
	l := newLab(t, golang.Env{GOPROXY: "direct", GOSUMDB: "off"})
	it, err := l.protocol.ItemOf("example.org/dep/@v/v1.0.0.info")
	if err != nil {
		t.Fatal(err)
	}
	e, _, err := l.recorder.Get(t.Context(), l.protocol, it)
	if err != nil || e.Status != http.StatusNotFound {
		t.Errorf("%+v, %v", e, err)
	}
}

// A folder is a proxy: what it has comes from there, and what it lacks from the next. Nothing else leads
// to the disk.
func TestAFolderIsAProxy(t *testing.T) {
	dir := t.TempDir()
	const key = "example.org/dep/@v/v1.0.0.info"
	files := map[string]string{key: `{"Version":"v1.0.0"}`, "example.org/dep/@v/list": "v1.0.0\n"}
	for name, text := range files {
		path := filepath.Join(dir, "a folder", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	l := newLab(t, golang.Env{GOPROXY: "file:///none|file://" + dir + "/a%20folder/,direct", GOSUMDB: "off"})
	get := func(key string, local bool) (int, string, error) {
		it, err := l.protocol.ItemOf(key)
		if err != nil {
			t.Fatal(err)
		}
		it.Local = it.Local && local
		e, b, err := l.recorder.Get(t.Context(), l.protocol, it)
		if err != nil || b == nil {
			return e.Status, "", err
		}
		defer b.Close()
		text, err := io.ReadAll(b)
		return e.Status, string(text), err
	}
	for name, text := range files {
		if status, got, err := get(name, true); err != nil || status != http.StatusOK || got != text {
			t.Errorf("%s: %d %q, %v", name, status, got, err)
		}
	}
	for _, name := range []string{"example.org/dep/@v/v1.0.1.info", "example.org/dep/@latest"} {
		if status, _, err := get(name, true); err != nil || status != http.StatusNotFound {
			t.Errorf("%s: %d, %v", name, status, err)
		}
	}
	if _, _, err := get("example.org/dep/@v/v1.0.2.info", false); err == nil {
		t.Error("any address leads to the disk")
	}
}

func TestItems(t *testing.T) {
	p, err := golang.New(golang.Env{GOPROXY: "https://one.example/x/|https://two.example,direct", GOSUMDB: "db.example"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	it, err := p.ItemOf("github.com/!burnt!sushi/toml/@v/v1.0.0.zip")
	want := []string{"https://one.example/x/github.com/!burnt!sushi/toml/@v/v1.0.0.zip", "https://two.example/github.com/!burnt!sushi/toml/@v/v1.0.0.zip"}
	if err != nil || !slices.Equal(append([]string{it.Upstream}, it.Fallback...), want) || it.Mutable {
		t.Errorf("%+v, %v", it, err)
	}
	for key, mutable := range map[string]bool{
		"golang.org/toolchain/@v/v0.0.1-go1.26.0.linux-amd64.zip": false,
		"example.org/a/@v/list":                                   true,
		"example.org/a/@latest":                                   true,
		"example.org/a/@v/main.info":                              true,
		"example.org/a/@v/v1.info":                                true,
		"sumdb/db.example/tile/8/0/x001/234.p/5":                  false,
		"sumdb/db.example/lookup/example.org/a@v1.0.0":            true,
	} {
		if it, err := p.ItemOf(key); err != nil || it.Mutable != mutable {
			t.Errorf("%s: mutable %v, %v", key, it.Mutable, err)
		}
	}
	for _, key := range []string{
		"", "x", "example.org/a/@v/", "example.org/a/@v/v1.0.0", "example.org/a/@v/v1.0.0.exe", "example.org/../a/@v/list", "Example.org/a/@v/list",
		"example.org/a/@v/../x.zip", "sumdb/other.example/latest", "sumdb/db.example/../latest", "sumdb/db.example/tile/../..", "sumdb/db.example/",
	} {
		if _, err := p.ItemOf(key); errs.KindOf(err) != errs.Invalid || err == nil {
			t.Errorf("%q: error %v", key, err)
		}
	}
}
