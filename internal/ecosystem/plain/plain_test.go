package plain_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/digest"
	"overland/internal/ecosystem/plain"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a Getter behind a proxy, and the environment of a client.
type lab struct {
	store *dir.Store
	urls  plain.Protocol
	up    *origin.Client
	dir   string
}

// newLab returns a lab whose recorder believes the certificate of srv.
func newLab(t *testing.T, srv *httptest.Server) *lab {
	t.Helper()
	l := &lab{dir: t.TempDir()}
	var err error
	if l.store, err = dir.Open(t.TempDir(), dir.Options{Reserve: -1}); err != nil {
		t.Fatal(err)
	}
	l.up = &origin.Client{Transport: srv.Client().Transport, Wait: time.Millisecond}
	return l
}

// run runs a shell script whose only way out is a proxy for k, and returns what it printed.
func (l *lab) run(t *testing.T, k record.Getter, script string) (string, error) {
	t.Helper()
	ca, err := plain.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	p := plain.NewProxy(k, l.urls, ca, http.NotFoundHandler())
	defer p.Close()
	srv := httptest.NewUnstartedServer(p)
	srv.Listener = p.Listener(srv.Listener)
	srv.Start()
	defer srv.Close()
	bundle := filepath.Join(l.dir, "ca.pem")
	rc := filepath.Join(l.dir, "wgetrc")
	for path, text := range map[string]string{bundle: string(ca.PEM()), rc: "ca_certificate = " + bundle + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "http_proxy="+srv.URL, "https_proxy="+srv.URL, "no_proxy=", "NO_PROXY=",
		"CURL_CA_BUNDLE="+bundle, "GIT_SSL_CAINFO="+bundle, "WGETRC="+rc, "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestCurlAndWgetAreRecordedAndReplayed(t *testing.T) {
	files := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none" {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("content of "+r.URL.String()+"\n"))
	})
	safe, open := httptest.NewTLSServer(files), httptest.NewServer(files)
	defer safe.Close()
	defer open.Close()
	l := newLab(t, safe)
	r := record.NewRecorder(l.store, record.Options{Upstream: l.up})
	defer r.Close()
	script := "curl -fsS " + safe.URL + "/a?x=1\nwget -q -O - " + safe.URL + "/b\ncurl -fsS " + open.URL + "/c\n" +
		"curl -fsS -r 3-6 " + safe.URL + "/a?x=1\ncurl -sS -o none -w '%{http_code}' " + safe.URL + "/none\n"
	const want = "content of /a?x=1\ncontent of /b\ncontent of /c\ntent404"
	if out, err := l.run(t, r, script); err != nil || out != want {
		t.Fatalf("%v\n%s", err, out)
	}
	lock := r.Lock()
	if e, ok := lock.Find(plain.Name, safe.URL+"/b"); !ok || e.Blob != digest.Of([]byte("content of /b\n")) {
		t.Errorf("locked: %v", lock.Entries)
	}
	safe.Close()
	open.Close()
	replay := record.NewReplayer(l.store, lock)
	if out, err := l.run(t, replay, script); err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
	out, err := l.run(t, replay, "curl -sS "+safe.URL+"/new; curl -fsS "+open.URL+"/new")
	if err == nil || !strings.Contains(out, "never recorded: url "+safe.URL+"/new") || len(replay.Misses()) != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestGitOverHTTPS clones from git's own server program.
func TestGitOverHTTPS(t *testing.T) {
	root := t.TempDir()
	setup := exec.CommandContext(t.Context(), "sh", "-ec", `git init -q -b main "$0/r" && cd "$0/r" && echo one > file && git add file &&
		git -c user.name=t -c user.email=t@example.org commit -q -m one && touch .git/git-daemon-export-ok`, root)
	if out, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	origin := httptest.NewTLSServer(backend(root))
	defer origin.Close()
	l := newLab(t, origin)
	r := record.NewRecorder(l.store, record.Options{Upstream: l.up})
	defer r.Close()
	script := "git clone -q " + origin.URL + "/r/.git copy && cat copy/file"
	if out, err := l.run(t, r, script); err != nil || out != "one\n" {
		t.Fatalf("%v\n%s", err, out)
	}
	origin.Close()
	replay := record.NewReplayer(l.store, r.Lock())
	if out, err := l.run(t, replay, script); err != nil || out != "one\n" {
		t.Errorf("%v\n%s\n%v", err, out, replay.Misses())
	}
}

// An origin that asks who one is, and that has moved: git and wget say who they are only then, and
// git posts where it is sent. A replay asks nobody.
func TestLoginsAndRedirects(t *testing.T) {
	root := t.TempDir()
	setup := exec.CommandContext(t.Context(), "sh", "-ec", `git init -q -b main "$0/r" && cd "$0/r" && echo one > file && git add file &&
		git -c user.name=t -c user.email=t@example.org commit -q -m one`, root)
	if out, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	git := backend(root)
	origin := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/old/"); ok {
			http.Redirect(w, r, "/"+rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			return
		}
		if _, word, _ := r.BasicAuth(); word != "s3cret" {
			w.Header().Set("Www-Authenticate", `Basic realm="tea"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/file" {
			_, _ = io.WriteString(w, "two\n")
			return
		}
		git.ServeHTTP(w, r)
	}))
	defer origin.Close()
	l := newLab(t, origin)
	r := record.NewRecorder(l.store, record.Options{Upstream: l.up})
	defer r.Close()
	at := strings.Replace(origin.URL, "://", "://me:s3cret@", 1)
	script := "GIT_TERMINAL_PROMPT=0 git clone -q " + at + "/old/r/.git copy && cat copy/file\n" +
		"wget -q -O - --user=me --password=s3cret " + origin.URL + "/file"
	if out, err := l.run(t, r, script); err != nil || out != "one\ntwo\n" {
		t.Fatalf("%v\n%s\n%v", err, out, r.Problems())
	}
	if list := r.Problems(); len(list) != 0 {
		t.Errorf("problems %v", list)
	}
	if out, err := l.run(t, r, "curl -sS -o none -w '%{http_code}' "+origin.URL+"/other"); err != nil || out != "401" {
		t.Errorf("without a login: %v, %s, %v", err, out, r.Problems())
	}
	if e, ok := r.Lock().Find(plain.Name, origin.URL+"/other"); !ok || e.Status != http.StatusUnauthorized || !e.Failed() {
		t.Errorf("locked without a login: %+v", e)
	}
	origin.Close()
	replay := record.NewReplayer(l.store, r.Lock())
	if out, err := l.run(t, replay, script); err != nil || out != "one\ntwo\n" {
		t.Errorf("%v\n%s\n%v", err, out, replay.Misses())
	}
}

// TestTheOriginsOwnCertificateIsChecked is an origin that nobody vouches for.
func TestTheOriginsOwnCertificateIsChecked(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	l := newLab(t, srv)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	r := record.NewRecorder(l.store, record.Options{Upstream: &origin.Client{Transport: tr, Wait: time.Millisecond, Tries: 1}})
	defer r.Close()
	if out, err := l.run(t, r, "curl -fsS "+srv.URL); err == nil || len(r.Lock().Entries) != 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestItems(t *testing.T) {
	for in, want := range map[string]string{
		"https://Example.org":                     "https://example.org/",
		"https://example.org:443/a%2Fb?q=1":       "https://example.org/a%2Fb?q=1",
		"http://example.org:80/x":                 "http://example.org/x",
		"https://user:secret@example.org:8443/x#": "https://example.org:8443/x",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		it, err := plain.Protocol{}.Item(&http.Request{Method: http.MethodGet, URL: u})
		if err != nil || it.Key != want || it.Upstream != want {
			t.Errorf("%s: %q, %v", in, it.Key, err)
		}
	}
	for _, bad := range []string{"/x", "ftp://example.org/x", "https:///x", "https://example.org/" + strings.Repeat("x", lockfile.KeyLimit)} {
		u, err := url.Parse(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (plain.Protocol{}).Item(&http.Request{Method: http.MethodGet, URL: u}); errs.KindOf(err) != errs.Invalid || err == nil {
			t.Errorf("%.40s: error %v", bad, err)
		}
	}
}

func FuzzItem(f *testing.F) {
	f.Add("https://example.org:443/a?b")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil {
			return
		}
		it, err := plain.Protocol{}.Item(&http.Request{Method: http.MethodGet, URL: u})
		if err == nil && !strings.HasPrefix(it.Key, u.Scheme+"://") {
			t.Errorf("%q: key %q", s, it.Key)
		}
	})
}
