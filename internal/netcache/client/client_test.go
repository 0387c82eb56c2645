package client_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
	"overland/internal/netcache/client"
	"overland/internal/netcache/server"
	"overland/internal/store/dir"
	"overland/internal/testkit/shacache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a server and the configuration of one machine that uploads and downloads.
type fixture struct {
	config netcache.Config
	data   []byte
	dir    string
	shelf  *server.Shelf
	answer atomic.Value // of func(http.ResponseWriter, *http.Request) bool: the network's mischief
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir(), data: bytes.Repeat([]byte("0123456789abcdef"), 64<<10)}
	depot, err := dir.Open(filepath.Join(f.dir, "depot"), dir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	if f.shelf, err = server.Open(filepath.Join(f.dir, "netcache"), depot, fsx.FS{}); err != nil {
		t.Fatal(err)
	}
	h := shacache.Handler(f.shelf)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, _ := f.answer.Load().(func(http.ResponseWriter, *http.Request) bool); answer != nil && answer(w, r) {
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	now := time.Now()
	f.config = netcache.Config{
		DownloadCacheURL: srv.URL + "/shacache", DownloadDirURL: srv.URL + "/shadir",
		UploadCacheURL: srv.URL + "/shacache/", UploadDirURL: srv.URL + "/shadir/",
		SignaturePrivateKeyFile: filepath.Join(f.dir, "rsa.key"), OverlandPrivateKeyFile: filepath.Join(f.dir, "ed.key"),
	}
	cert, err := netcache.Generate(fsx.FS{}, f.config.SignaturePrivateKeyFile, "", "COMP-1", now)
	if err != nil {
		t.Fatal(err)
	}
	public, err := netcache.GenerateEd25519(fsx.FS{}, f.config.OverlandPrivateKeyFile, "")
	if err != nil {
		t.Fatal(err)
	}
	f.config.SignatureCertificateList, f.config.OverlandKeyList = string(cert), string(public)
	return f
}

// mischief lets answer reply in place of the server, until it returns false.
func (f *fixture) mischief(answer func(http.ResponseWriter, *http.Request) bool) {
	f.answer.Store(answer)
}

func (f *fixture) client(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(f.config, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (f *fixture) upload(t *testing.T, key string, data []byte, fields map[string]any) client.Uploaded {
	t.Helper()
	up, err := f.client(t, client.Options{}).Upload(t.Context(), bytes.NewReader(data), key, fields)
	if err != nil {
		t.Fatal(err)
	}
	return up
}

// oldOnly makes f a machine of the old world: no Ed25519 keys.
func (f *fixture) oldOnly() { f.config.OverlandKeyList, f.config.OverlandPrivateKeyFile = "", "" }

const someURL = "http://origin.example/a-1.0.tar.gz"

func TestUploadAndDownload(t *testing.T) {
	f := setup(t)
	key := netcache.URLKey(someURL)
	up := f.upload(t, key, f.data, map[string]any{"url": someURL})
	if !up.Sent || up.Size != int64(len(f.data)) || up.Entry.Signature == "" || !strings.HasPrefix(up.Entry.Metadata, `{"sha512": "`) {
		t.Errorf("%+v", up)
	}
	if again := f.upload(t, key, f.data, map[string]any{"url": someURL}); again.Sent || again.Name != up.Name {
		t.Errorf("sent again: %+v", again)
	}
	out := filepath.Join(f.dir, "out")
	for name, o := range map[string]client.Options{"statement": {}, "sha1": {SHA1: true}} {
		saved := f.config
		if name == "sha1" {
			f.config.OverlandKeyList = ""
		}
		r, err := f.client(t, o).DownloadURL(t.Context(), someURL, out, noOrigin(t))
		f.config = saved
		if err != nil || r.Outcome != client.Hit || (r.Found.Statement == nil) != (name == "sha1") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if b, err := os.ReadFile(out); err != nil || !bytes.Equal(b, f.data) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	if r, err := f.client(t, client.Options{}).Download(t.Context(), "pypi:x=1", nil, out); r.Outcome != client.Miss || errs.KindOf(err) != errs.NotFound {
		t.Errorf("%+v, %v", r, err)
	}
	filter := []netcache.Filter{{Field: "url", Op: "==", Value: "x"}}
	if r, err := f.client(t, client.Options{}).Download(t.Context(), key, filter, out); r.Outcome != client.Miss || errs.KindOf(err) != errs.NotFound {
		t.Errorf("%+v, %v", r, err)
	}
	blob, err := f.client(t, client.Options{}).Upload(t.Context(), strings.NewReader("alone"), "", nil)
	if err != nil || !blob.Sent || blob.Entry.Metadata != "" {
		t.Errorf("%+v, %v", blob, err)
	}
}

func noOrigin(t *testing.T) client.Origin {
	return func(_ context.Context, url, _ string) error {
		t.Errorf("the origin was asked for %s", url)
		return nil
	}
}

// Who trusts nobody is told so before anything is asked.
func TestFailsClosed(t *testing.T) {
	f := setup(t)
	f.upload(t, "k", f.data, map[string]any{"x": "y"})
	f.mischief(func(_ http.ResponseWriter, r *http.Request) bool {
		t.Errorf("asked for %s", r.URL)
		return false
	})
	f.config.OverlandKeyList = ""
	if _, err := f.client(t, client.Options{}).Select(t.Context(), "k", nil); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Errorf("SHA-1 certificates alone, without --sha1: %v", err)
	}
	f.config.SignaturePrivateKeyFile, f.config.SignatureCertificateList = "", ""
	if _, err := f.client(t, client.Options{SHA1: true}).Select(t.Context(), "k", nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("an empty list: %v", err)
	}
}

// The attack on the old client: a signed entry copied under another key.
func TestSubstitutionIsRefused(t *testing.T) {
	old, url := "http://origin.example/a-0.9.tar.gz", someURL
	tests := []struct {
		from, to string
		fields   map[string]any
		sha1     bool
		unbound  bool
		want     client.Outcome
	}{
		{netcache.URLKey(old), netcache.URLKey(url), map[string]any{"url": old}, false, false, client.Untrusted},
		{netcache.URLKey(old), netcache.URLKey(url), map[string]any{"url": old}, true, true, client.Untrusted},
		{netcache.MD5(old), netcache.MD5(url), map[string]any{"software_url": old}, true, true, client.Untrusted},
		{"pypi:a=0.9", "pypi:a=1.0", map[string]any{"basename": "a-0.9.tar.gz"}, true, true, client.Untrusted},
		{"slapos-buildout-" + netcache.MD5(old), "slapos-buildout-" + netcache.MD5(url), map[string]any{"urlmd5": netcache.MD5(old)}, true, true, client.Untrusted},
		{"free", "other", map[string]any{"x": "y"}, false, false, client.Untrusted},
		{"free", "other", map[string]any{"x": "y"}, true, false, client.Untrusted},
		{"free", "free", map[string]any{"x": "y"}, true, false, client.Untrusted}, // nothing says where it belongs
		{"free", "free", map[string]any{"x": "y"}, true, true, client.Hit},
		{"pypi:a=0.9", "pypi:a=0.9", map[string]any{"basename": "a-0.9.tar.gz"}, true, false, client.Hit},
	}
	for i, test := range tests {
		f := setup(t)
		if test.sha1 {
			f.oldOnly()
		}
		up := f.upload(t, test.from, f.data, test.fields)
		f.mischief(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/shadir/") {
				_, _ = w.Write(netcache.EncodeList([]netcache.Entry{up.Entry}))
				return true
			}
			return false
		})
		out := filepath.Join(f.dir, "out")
		r, err := f.client(t, client.Options{SHA1: test.sha1, Unbound: test.unbound}).Download(t.Context(), test.to, nil, out)
		if r.Outcome != test.want || (err == nil) != (test.want == client.Hit) {
			t.Errorf("%d: %s as %s: %v, %v", i, test.from, test.to, r.Outcome, err)
		}
		if _, err := os.Stat(out); (err == nil) != (test.want == client.Hit) {
			t.Errorf("%d: a file: %v", i, err)
		}
	}
}

func TestExpiredAndRolledBack(t *testing.T) {
	f := setup(t)
	now := time.Now()
	put := func(at time.Time, data string) client.Uploaded {
		up, err := f.client(t, client.Options{Clock: clock.At(at), Lifetime: time.Hour}).Upload(t.Context(), strings.NewReader(data), "k", map[string]any{"os": "x"})
		if err != nil {
			t.Fatal(err)
		}
		return up
	}
	now = now.Truncate(time.Second)
	first, second := put(now, "first"), put(now.Add(time.Millisecond), "second") // within one second
	out := filepath.Join(f.dir, "out")
	get := func(at time.Time, state string) (string, error) {
		r, err := f.client(t, client.Options{Clock: clock.At(at), State: state, SHA1: true, Unbound: true}).Download(t.Context(), "k", nil, out)
		if err != nil {
			return string(r.Outcome), err
		}
		b, err := os.ReadFile(out)
		return string(b), err
	}
	reorder := func(list ...netcache.Entry) {
		f.mischief(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/shadir/k" {
				_, _ = w.Write(netcache.EncodeList(list))
				return true
			}
			return false
		})
	}
	reorder(first.Entry, second.Entry)
	state := filepath.Join(f.dir, "state", "seen")
	if got, err := get(now.Add(2*time.Minute), state); got != "second" {
		t.Errorf("the server put the old one first: %s, %v", got, err)
	}
	reorder(first.Entry)
	if got, err := get(now.Add(2*time.Minute), state); got != string(client.Untrusted) || errs.KindOf(err) != errs.Untrusted {
		t.Errorf("the server hides the new one: %s, %v", got, err)
	}
	if got, err := get(now.Add(2*time.Minute), ""); got != "first" {
		t.Errorf("a client that was never here: %s, %v", got, err)
	}
	// Its SHA-1 signature is still good, and does not help it.
	if got, err := get(now.Add(2*time.Hour), ""); got != string(client.Untrusted) {
		t.Errorf("expired: %s, %v", got, err)
	}
}

// Entries of one key for several platforms are newer or older than
// those of their own platform only.
func TestPlatformsHaveNumbersOfTheirOwn(t *testing.T) {
	f := setup(t)
	now := time.Now()
	for i, arch := range []string{"arm", "amd64"} {
		c := f.client(t, client.Options{Clock: clock.At(now.Add(time.Duration(i) * time.Minute))})
		if _, err := c.Upload(t.Context(), strings.NewReader(arch), "k", map[string]any{"arch": arch}); err != nil {
			t.Fatal(err)
		}
	}
	c := f.client(t, client.Options{Clock: clock.At(now.Add(time.Hour)), State: filepath.Join(f.dir, "seen")})
	for _, arch := range []string{"amd64", "arm", "amd64"} { // the newer one first
		r, err := c.Download(t.Context(), "k", []netcache.Filter{{Field: "arch", Op: "==", Value: arch}}, filepath.Join(f.dir, "out"))
		if err != nil || r.Found.Text("arch") != arch {
			t.Errorf("%s: %v, %v", arch, r.Outcome, err)
		}
	}
}

func TestPoisonAndCorruption(t *testing.T) {
	f := setup(t)
	good := f.upload(t, "k", f.data, map[string]any{"x": "y"})
	missing := f.upload(t, "k", []byte("other"), map[string]any{"x": "z"})
	for name, body := range map[string]string{
		"poison before":  `[["{}"],{"a":1},` + string(netcache.EncodeEntry(good.Entry)) + `,["x","y","z"]]`,
		"newer, missing": string(netcache.EncodeList([]netcache.Entry{missing.Entry, good.Entry})),
	} {
		f.mischief(func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.URL.Path == "/shadir/k":
				_, _ = io.WriteString(w, body)
			case strings.HasSuffix(r.URL.Path, missing.Name):
				http.NotFound(w, r)
			default:
				return false
			}
			return true
		})
		if r, err := f.client(t, client.Options{}).Download(t.Context(), "k", nil, filepath.Join(f.dir, "out")); r.Outcome != client.Hit || r.Found.Name() != good.Name {
			t.Errorf("%s: %v, %v", name, r.Outcome, err)
		}
	}
	for name, body := range map[string]string{"same length": strings.Repeat("x", len(f.data)), "shorter": "x", "longer": strings.Repeat("x", len(f.data)+1)} {
		f.mischief(func(w http.ResponseWriter, r *http.Request) bool {
			switch r.URL.Path {
			case "/shadir/k":
				_, _ = w.Write(netcache.EncodeList([]netcache.Entry{good.Entry}))
			default:
				_, _ = io.WriteString(w, body)
			}
			return true
		})
		out := filepath.Join(t.TempDir(), "out")
		if r, err := f.client(t, client.Options{}).Download(t.Context(), "k", nil, out); r.Outcome != client.Corrupt || errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %v, %v", name, r.Outcome, err)
		}
		if left, err := os.ReadDir(filepath.Dir(out)); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

// The bytes are what the statement says too, not only what old clients look at.
func TestAStatementAboutOtherBytes(t *testing.T) {
	f := setup(t)
	up := f.upload(t, "k", f.data, map[string]any{"x": "y"})
	key, err := netcache.ReadPrivate(f.config.OverlandPrivateKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]netcache.Statement{
		"sha256": {Size: up.Size, SHA256: digest.Of(nil)}, "size": {Size: up.Size - 1, SHA256: digest.Of(f.data)},
	} {
		s.Key, s.Created, s.Expires, s.Seq = "k", time.Now(), time.Now().Add(time.Hour), 1
		fields := map[string]any{"sha512": up.Name}
		if err := netcache.AddStatement(fields, s, key.(ed25519.PrivateKey)); err != nil {
			t.Fatal(err)
		}
		f.mischief(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/shadir/k" {
				_, _ = w.Write(netcache.EncodeList([]netcache.Entry{{Metadata: netcache.EncodeMetadata(fields)}}))
			}
			return r.URL.Path == "/shadir/k"
		})
		out := filepath.Join(f.dir, "out")
		if r, err := f.client(t, client.Options{}).Download(t.Context(), "k", nil, out); r.Outcome != client.Corrupt {
			t.Errorf("%s: %v, %v", what, r.Outcome, err)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a file", what)
		}
	}
}

// Whatever the link does to a transfer, the file arrives whole or the outcome says why not.
func TestBadLinks(t *testing.T) {
	f := setup(t)
	up := f.upload(t, "k", f.data, map[string]any{"x": "y"})
	half := len(f.data) / 2
	cut := func(w http.ResponseWriter, reset bool) {
		c, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nAccept-Ranges: bytes\r\nETag: \"%s\"\r\n\r\n%s", len(f.data), up.Name, f.data[:half])
		_ = buf.Flush()
		if reset {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
	}
	type step func(w http.ResponseWriter, r *http.Request) bool
	for name, test := range map[string]struct {
		steps []step
		want  client.Outcome
	}{
		"cut":   {[]step{func(w http.ResponseWriter, _ *http.Request) bool { cut(w, false); return true }}, client.Hit},
		"reset": {[]step{func(w http.ResponseWriter, _ *http.Request) bool { cut(w, true); return true }}, client.Hit},
		"200 for a range": {[]step{
			func(w http.ResponseWriter, _ *http.Request) bool { cut(w, false); return true },
			func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Range"); return false },
		}, client.Hit},
		"another part": {[]step{
			func(w http.ResponseWriter, _ *http.Request) bool { cut(w, false); return true },
			func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Set("Range", "bytes=5-"); return false },
		}, client.Hit},
		"an error page in place of the rest": {[]step{
			func(w http.ResponseWriter, _ *http.Request) bool { cut(w, false); return true },
			func(w http.ResponseWriter, _ *http.Request) bool {
				http.Error(w, "busy", http.StatusBadGateway)
				return true
			},
		}, client.Hit},
		"silence": {[]step{func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", strconv.Itoa(len(f.data)))
			w.Header().Set("ETag", `"`+up.Name+`"`)
			_, _ = w.Write(f.data[:half])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}}, client.Hit},
		"gone": {[]step{
			func(w http.ResponseWriter, _ *http.Request) bool { cut(w, false); return true },
			func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true },
		}, client.Miss},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			f.mischief(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/shacache/") {
					return false
				}
				if r.Header.Get("Range") != "" && r.Header.Get("If-Range") != `"`+up.Name+`"` {
					t.Errorf("a part of whatever is there now is asked for: %q", r.Header)
				}
				i := int(n.Add(1)) - 1
				return i < len(test.steps) && test.steps[i](w, r)
			})
			out := filepath.Join(t.TempDir(), "out")
			r, err := f.client(t, client.Options{Stall: 300 * time.Millisecond}).Download(t.Context(), "k", nil, out)
			if r.Outcome != test.want {
				t.Fatalf("%v, %v", r.Outcome, err)
			}
			if b, err := os.ReadFile(out); test.want == client.Hit && (err != nil || !bytes.Equal(b, f.data)) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
}

func TestOriginAfterEveryFailure(t *testing.T) {
	f := setup(t)
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request) bool
		want   client.Outcome
	}{
		"nothing there":  {func(http.ResponseWriter, *http.Request) bool { return false }, client.Miss},
		"captive portal": {func(w http.ResponseWriter, _ *http.Request) bool { _, _ = io.WriteString(w, "<html>"); return true }, client.Unavailable},
		"broken": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}, client.Unavailable},
		"foreign": {func(w http.ResponseWriter, _ *http.Request) bool {
			b, _ := json.Marshal(map[string]string{"sha512": strings.Repeat("ab", 64), "url": someURL})
			_, _ = w.Write(netcache.EncodeList([]netcache.Entry{{Metadata: string(b)}}))
			return true
		}, client.Untrusted},
	} {
		f.mischief(test.answer)
		asked := ""
		r, err := f.client(t, client.Options{SHA1: true}).DownloadURL(t.Context(), someURL, filepath.Join(f.dir, "out"), func(_ context.Context, url, _ string) error {
			asked = url
			return nil
		})
		if r.Outcome != test.want || err != nil || asked != someURL {
			t.Errorf("%s: %v, %v, asked %q", name, r.Outcome, err, asked)
		}
	}
}

// Who trusts nobody is told so, and gets nothing from elsewhere.
func TestNoOriginWithoutKeys(t *testing.T) {
	f := setup(t)
	f.config.OverlandKeyList = ""
	if _, err := f.client(t, client.Options{}).DownloadURL(t.Context(), someURL, filepath.Join(f.dir, "out"), noOrigin(t)); errs.KindOf(err) != errs.Invalid {
		t.Errorf("got %v", err)
	}
}

// Reads follow redirects, uploads do not; an entry counts as stored for 201 alone.
func TestRedirectsAndOtherSuccesses(t *testing.T) {
	f, other := setup(t), setup(t)
	up := f.upload(t, "k", f.data, map[string]any{"x": "y"})
	other.shelf = f.shelf
	elsewhere, _, _ := strings.Cut(f.config.DownloadCacheURL, "/shacache")
	other.mischief(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, elsewhere+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	})
	moved := f.config
	moved.DownloadCacheURL, moved.DownloadDirURL = other.config.DownloadCacheURL, other.config.DownloadDirURL
	moved.UploadCacheURL, moved.UploadDirURL = other.config.UploadCacheURL, other.config.UploadDirURL
	f.config = moved
	if r, err := f.client(t, client.Options{}).Download(t.Context(), "k", nil, filepath.Join(f.dir, "out")); err != nil || r.Found.Name() != up.Name {
		t.Errorf("a read: %+v, %v", r, err)
	}
	var writes atomic.Int32
	f.mischief(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			writes.Add(1)
		}
		return false
	})
	for _, data := range []string{"new", string(f.data)} { // its blob, and its entry alone
		if _, err := f.client(t, client.Options{}).Upload(t.Context(), strings.NewReader(data), "l", map[string]any{"x": "y"}); err == nil {
			t.Error("an upload was sent elsewhere")
		}
	}
	if n := writes.Load(); n != 0 {
		t.Errorf("%d writes came elsewhere", n)
	}
	other.mischief(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			http.Redirect(w, r, elsewhere+r.URL.Path, http.StatusFound)
		}
		return true // else 200
	})
	if _, err := f.client(t, client.Options{}).Upload(t.Context(), bytes.NewReader(f.data), "l", map[string]any{"x": "y"}); err == nil {
		t.Error("200 counts as stored")
	}
}

func TestUploadRefusals(t *testing.T) {
	f := setup(t)
	c := f.client(t, client.Options{})
	for name, test := range map[string]struct {
		key    string
		fields map[string]any
	}{
		"no metadata":    {"k", nil},
		"another key":    {netcache.URLKey("x"), map[string]any{"urlmd5": "y"}},
		"a key's limits": {"a\nb", map[string]any{"x": "y"}},
		"a password":     {netcache.URLKey(someURL), map[string]any{"url": "http://u:p@origin.example/a-1.0.tar.gz"}},
		"a token":        {"k", map[string]any{"from": []any{"http://origin.example/a?token=x"}}},
	} {
		_, err := c.Upload(t.Context(), strings.NewReader("x"), test.key, test.fields)
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.client(t, client.Options{Binary: true}).Upload(t.Context(), strings.NewReader("x"), "", nil); err == nil || !strings.Contains(err.Error(), "upload-binary-cache-url") {
		t.Errorf("no address: %v", err)
	}
	f.mischief(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "nonsense")
		}
		return r.Method == http.MethodPost
	})
	if _, err := c.Upload(t.Context(), strings.NewReader("new"), "", nil); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("another hash: %v", err)
	}
	f.mischief(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true })
	if _, err := c.Upload(t.Context(), strings.NewReader("new"), "", nil); errs.KindOf(err) != errs.Denied || errs.HintOf(err) == "" {
		t.Errorf("refused: %v", err)
	}
}

func TestKeysOfTheConfiguration(t *testing.T) {
	f := setup(t)
	saved := f.config
	other, err := netcache.Generate(fsx.FS{}, filepath.Join(f.dir, "other.key"), filepath.Join(f.dir, "other.cert"), "o", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := netcache.Generate(fsx.FS{}, filepath.Join(f.dir, "new.key"), filepath.Join(f.dir, "other.cert"), "o", time.Now()); errs.KindOf(err) != errs.Conflict {
		t.Errorf("overwrites: %v", err)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "new.key")); err == nil {
		t.Error("half a pair was made")
	}
	late := filepath.Join(f.dir, "late.key") // another process makes it in the same moment
	disk := fsx.FS{Before: func(op fsx.Op) error {
		if op.Path == late && (op.Name == "link" || op.Name == "rename") {
			return os.WriteFile(late, []byte("theirs"), 0o600)
		}
		return nil
	}}
	_, err = netcache.GenerateEd25519(disk, late, "")
	if b, rerr := os.ReadFile(late); errs.KindOf(err) != errs.Conflict || rerr != nil || string(b) != "theirs" {
		t.Errorf("overwrites what another process made: %v, %q, %v", err, b, rerr)
	}
	f.config.SignatureCertificateList = string(other)
	f.config.SignatureCertificateFile = filepath.Join(f.dir, "other.cert")
	if _, err := client.New(f.config, client.Options{}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("the own certificate is not in the list: %v", err)
	}
	// As the SlapOS document has it: no list, but the file that generate-signature-key made.
	f.config.SignatureCertificateList, f.config.SignatureCertificateFile = "", filepath.Join(f.dir, "own.cert")
	if err := os.WriteFile(f.config.SignatureCertificateFile, []byte(saved.SignatureCertificateList), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.New(f.config, client.Options{}); err != nil {
		t.Errorf("the own certificate is named by its file: %v", err)
	}
	f.config = saved
	if err := os.Chmod(f.config.SignaturePrivateKeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := client.New(f.config, client.Options{}); errs.KindOf(err) != errs.Denied || !strings.Contains(errs.HintOf(err), "chmod 600") {
		t.Errorf("everybody may read the key: %v", err)
	}
	f.config.SignaturePrivateKeyFile = f.config.OverlandPrivateKeyFile
	if _, err := client.New(f.config, client.Options{}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("the wrong kind of key: %v", err)
	}
	if diff := cmp.Diff("a/../%20b%3F%25", netcache.EscapeKey("a/../ b?%")); diff != "" {
		t.Error(diff)
	}
}

// A server that takes no bytes, or says nothing, does not hold an upload for
// ever; one that hashes for long may.
func TestUploadStalls(t *testing.T) {
	f := setup(t)
	c := f.client(t, client.Options{Stall: 200 * time.Millisecond, Wait: time.Millisecond})
	large, enough := bytes.Repeat(f.data, 64), make(chan struct{})
	silent := func(method string) func(http.ResponseWriter, *http.Request) bool {
		return func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method != method {
				return false
			}
			_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that the client has gone
			<-r.Context().Done()
			return true
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		f.mischief(silent(method))
		if _, err := c.Upload(t.Context(), strings.NewReader(method), "k", map[string]any{"x": "y"}); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("%s: %v", method, err)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut} { // in one piece, and in parts
		f.mischief(func(w http.ResponseWriter, r *http.Request) bool {
			if part := r.Header.Get("Content-Range") != ""; part && method == http.MethodPost {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return true
			}
			if r.Method != method || r.ContentLength <= 0 {
				return false
			}
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
			<-enough
			return true
		})
		if _, err := c.Upload(t.Context(), bytes.NewReader(large), "", nil); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("%s of a body: %v", method, err)
		}
	}
	close(enough)
}
