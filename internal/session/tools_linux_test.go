package session_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/ecosystem/cargo"
	"overland/internal/ecosystem/npm"
	"overland/internal/ecosystem/pypi"
	"overland/internal/lockfile"
	"overland/internal/progress"
	"overland/internal/session"
	"overland/internal/testkit/pack"
)

// serve serves h over https at an address that is not the command's own.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Listener.Close()
	srv.Listener = listen(t, "127.0.0.2:0")
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

// registry serves files; {BASE} in them is its address.
func registry(t *testing.T, files map[string]string) *httptest.Server {
	t.Helper()
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/") {
			w.Header().Set("Content-Type", "text/html")
		}
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "{BASE}", "https://"+r.Host))
	}))
}

// encoding is h as an origin that encodes all its answers, whoever asks.
func encoding(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plain := httptest.NewRecorder()
		r.Header.Del("Range")
		h.ServeHTTP(plain, r)
		w.Header().Set("Content-Type", plain.Header().Get("Content-Type"))
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(plain.Code)
		z := gzip.NewWriter(w)
		_, _ = plain.Body.WriteTo(z)
		_ = z.Close()
	})
}

// trusting returns a transport that finds srv at every address and believes its certificate.
func trusting(t *testing.T, srv *httptest.Server) *http.Transport {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com"}}
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
	}
	if cert := srv.Certificate(); cert != nil {
		tr.TLSClientConfig.RootCAs.AddCert(cert)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// recordAndReplay runs script with a registry, then without it and without a network, and wants the
// same output, and every proof again. A replay may change the folders in write alone. It returns
// what the replay has seen.
func recordAndReplay(t *testing.T, srv *httptest.Server, script, want string, write ...string) *session.Result {
	t.Helper()
	place := t.TempDir()
	o, out := newOptions(t, "set -e; cd \"$(mktemp -d -p "+place+")\"; "+script)
	o.Write = append(write, place)
	o.Upstream.Transport = trusting(t, srv)
	res, err := session.Record(t.Context(), o)
	if err != nil || !strings.HasSuffix(out.String(), want) {
		t.Fatalf("%v\n%s\n%v", err, out, res)
	}
	srv.Close()
	first := out.String()
	out.Reset()
	o.Lock = res.Lock
	res, err = session.Replay(t.Context(), o)
	if err != nil || out.String() != first || len(res.Problems) != 0 {
		t.Errorf("%v\n%s\n%v", err, out, res)
	}
	over := 0
	o.Progress = func(e progress.Event) {
		if e.Over() && e.Done == e.Total {
			over++
		}
	}
	if bad, err := session.Verify(t.Context(), o); err != nil || len(bad) != 0 || over < 2 {
		t.Errorf("verify: %v, %v; %d of reading and proving were told to be over", bad, err, over)
	}
	return res
}

// pip's own index is spoken by its protocol: the lock says why its files are the right ones.
func TestPipWithItsIndex(t *testing.T) {
	wheel := pack.Wheel("tea", "1.0", "WORD = 'tea'\n")
	srv := serve(t, encoding(pack.PyPI{Files: map[string][]byte{"tea-1.0-py3-none-any.whl": wheel}}))
	t.Setenv("PIP_INDEX_URL", srv.URL+"/simple/")
	res := recordAndReplay(t, srv, "PIP_FIND_LINKS= pip install -q --no-input --root-user-action ignore --target out tea; cat out/tea.py", "WORD = 'tea'\n")
	want := lockfile.Proof{Kind: pypi.ProofFile, Value: digest.Of(wheel).Encoded()}
	if e, ok := res.Lock.Find(pypi.Name, "tea/tea-1.0-py3-none-any.whl"); !ok || e.Proof != want || len(res.Lock.Entries) != 2 {
		t.Errorf("%+v", res.Lock)
	}
}

func TestPip(t *testing.T) {
	wheel := pack.Wheel("tea", "1.0", "WORD = 'tea'\n")
	srv := registry(t, map[string]string{
		"/simple/tea/": fmt.Sprintf("<!DOCTYPE html><a href=\"/files/tea-1.0-py3-none-any.whl#sha256=%s\">tea-1.0-py3-none-any.whl</a>",
			digest.Of(wheel).Encoded()),
		"/files/tea-1.0-py3-none-any.whl": string(wheel),
	})
	recordAndReplay(t, srv, "PIP_FIND_LINKS= PIP_CONFIG_FILE=/dev/null pip install -q --no-input --root-user-action ignore --target out --index-url "+
		srv.URL+"/simple tea; cat out/tea.py", "WORD = 'tea'\n")
}

// The registry of a scope stands in a file; dash passes the variable on
// that would name it to no command.
func TestNPMWithTheRegistryOfAScope(t *testing.T) {
	packument, tarball := pack.NPM("{BASE}/npm", "@leaf/tea", "1.0.0", "module.exports = 'tea'\n")
	files := map[string]string{"/npm/@leaf/tea": packument, "/npm/@leaf/tea/-/tea-1.0.0.tgz": string(tarball)}
	srv := serve(t, encoding(registry(t, files).Config.Handler))
	rc := filepath.Join(t.TempDir(), "npmrc")
	if err := os.WriteFile(rc, []byte("@leaf:registry=https://registry.invalid/npm/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("npm_config_userconfig", rc)
	res := recordAndReplay(t, srv, "npm install --fetch-retries=0 --silent @leaf/tea; cat node_modules/@leaf/tea/index.js", "module.exports = 'tea'\n")
	kinds := map[string]string{}
	for _, e := range res.Lock.Entries {
		kinds[e.Protocol+" "+e.Key] = e.Proof.Kind
	}
	if want := map[string]string{"npm @leaf/tea": npm.ProofDocument, "npm @leaf/tea/-/tea-1.0.0.tgz": npm.ProofIntegrity}; !maps.Equal(kinds, want) {
		t.Errorf("got %q, want %q", kinds, want)
	}
}

// cargo's own registry is spoken by its protocol: the lock says why its crates are the right ones,
// and what is compiled is the same in a replay, paths included.
func TestCargoWithItsRegistry(t *testing.T) {
	pack.SparseCargo(t)
	milk := pack.NewCrate("milk", "1.2.0", "pub fn place() -> &'static str { std::panic::Location::caller().file() }\n")
	tea := pack.NewCrate("tea", "1.0.0", "pub fn place() -> &'static str { milk::place() }\n", "milk")
	srv := serve(t, encoding(pack.Crates{tea, milk}))
	project := filepath.Join(t.TempDir(), "p")
	for name, text := range map[string]string{
		"Cargo.toml": pack.Manifest("p", "0.1.0", "tea"), "src/main.rs": "fn main() { println!(\"{}\", tea::place()); }\n",
		".cargo/config.toml": "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"sparse+" + srv.URL + "/index/\"\n",
	} {
		path := filepath.Join(project, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(project)
	res := recordAndReplay(t, srv, "cd "+project+"; rm -rf target; cargo build -q --release; target/release/p; sha256sum target/release/p", "target/release/p\n", project)
	want := lockfile.Proof{Kind: cargo.ProofCrate, Value: digest.Of(milk.Bytes).Encoded()}
	if e, ok := res.Lock.Find(cargo.Name, "milk/milk-1.2.0.crate"); !ok || e.Proof != want || len(res.Lock.Entries) != 5 {
		t.Errorf("%+v", res.Lock)
	}
}

func TestCargo(t *testing.T) {
	pack.SparseCargo(t)
	tea := pack.NewCrate("tea", "1.0.0", "pub const WORD: &str = \"tea\";\n")
	srv := registry(t, map[string]string{
		"/index/config.json":      `{"dl":"{BASE}/crates/{crate}-{version}.crate"}`,
		"/index/3/t/tea":          tea.Line(),
		"/crates/tea-1.0.0.crate": string(tea.Bytes),
	})
	project := filepath.Join(t.TempDir(), "p")
	for name, text := range map[string]string{
		"Cargo.toml": "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\ntea = { version = \"1\", registry = \"t\" }\n",
		"src/lib.rs": "",
	} {
		path := filepath.Join(project, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	recordAndReplay(t, srv, "CARGO_REGISTRIES_T_INDEX=sparse+"+srv.URL+"/index/ cargo -q fetch --manifest-path "+project+
		"/Cargo.toml; cat \"$CARGO_HOME\"/registry/src/*/tea-1.0.0/src/lib.rs", "pub const WORD: &str = \"tea\";\n", project)
}

// What this machine's apt is configured for says nothing about a replay.
func TestAptAsksInAReplayForWhatIsLocked(t *testing.T) {
	o, out := newOptions(t, `cat "$(dirname "$APT_CONFIG")/overland.sources"`)
	o.Lock = &lockfile.Lock{}
	for _, key := range []string{"tea/dists/calm/InRelease", "tea/dists/calm/main/binary-amd64/Packages.xz"} {
		o.Lock.Entries = append(o.Lock.Entries, lockfile.Entry{Protocol: "apt", Key: key, Status: http.StatusOK, Blob: digest.Of(nil)})
	}
	if _, err := session.Replay(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"suites: calm\n", "components: main\n", "trusted: yes\n", "uris: http://locked.invalid/tea\n"} {
		if !strings.Contains(out.String(), want) || strings.Count(out.String(), "uris: ") != 1 {
			t.Errorf("no %q:\n%s", want, out)
		}
	}
}
