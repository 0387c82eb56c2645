package session_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/session"
	"overland/internal/testkit/pack"
)

// slowly is h behind a link of 4 KB/s for each answer.
func slowly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(trickle{w, r}, r) })
}

type trickle struct {
	http.ResponseWriter
	r *http.Request
}

// Write implements io.Writer.
func (k trickle) Write(p []byte) (n int, err error) {
	const most, each = 512, 128 * time.Millisecond
	for n < len(p) && err == nil {
		var m int
		m, err = k.ResponseWriter.Write(p[n:min(n+most, len(p))])
		n += m
		_ = http.NewResponseController(k.ResponseWriter).Flush()
		select {
		case <-k.r.Context().Done():
			return n, k.r.Context().Err()
		case <-time.After(each):
		}
	}
	return n, err
}

// noise returns n letters that nothing makes shorter than three quarters of that.
func noise(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	random := rand.New(rand.NewPCG(1, uint64(n))) //nolint:gosec // bytes for a test
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[random.IntN(len(letters))]
	}
	return string(b)
}

// No tool gives up over a link of 4 KB/s: each file takes 8 s, and each tool waits for 4 s without a byte and
// asks once; npm, which counts the seconds of the whole, waits as long as a session has it wait.
func TestNoToolGivesUpAt4KBPerSecond(t *testing.T) {
	const body = 32_000 // bytes of each file, once it is packed
	text := noise(body * 4 / 3)
	pack.SparseCargo(t)
	wheel := pack.Wheel("tea", "1.0", "WORD = 'tea' # "+text+"\n")
	crate := pack.NewCrate("tea", "1.0.0", "pub const WORD: &str = \"tea\"; // "+text+"\n")
	document, tarball := pack.NPM("https://npm.invalid", "tea", "1.0.0", "module.exports = 'tea' // "+text+"\n")
	all, _ := archive("/apt", "1", text)
	for name, b := range map[string]string{
		"/apt/./Packages": all["/apt/Packages"], "/apt/./tea_1_all.deb": all["/apt/tea_1_all.deb"],
		"/file": text, "/simple/tea/": fmt.Sprintf("<!DOCTYPE html><a href=\"/tea-1.0-py3-none-any.whl#sha256=%s\">tea-1.0-py3-none-any.whl</a>", digest.Of(wheel).Encoded()),
		"/tea-1.0-py3-none-any.whl": string(wheel),
		"/index/config.json":        `{"dl":"{BASE}/{crate}-{version}.crate"}`, "/index/3/t/tea": crate.Line(), "/tea-1.0.0.crate": string(crate.Bytes),
		"/tea": document, "/tea/-/tea-1.0.0.tgz": string(tarball),
	} {
		all[name] = b
	}
	dir := t.TempDir()
	module(t, dir, "dep", text)
	at := "/example.org/dep/@v/v1.0.0"
	for _, kind := range []string{".info", ".mod", ".zip"} {
		b, err := os.ReadFile(filepath.Join(dir, at+kind)) // as a proxy serves it
		if err != nil {
			t.Fatal(err)
		}
		all[at+kind] = string(b)
	}
	files(t, dir, map[string]string{
		"apt/sources.list": "deb [trusted=yes] https://apt.invalid/apt ./\n",
		"go/go.mod":        "module m\n\ngo 1.21\n\nrequire example.org/dep v1.0.0\n",
		"cargo/Cargo.toml": "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2018\"\n\n[dependencies]\ntea = { version = \"1\", registry = \"t\" }\n",
		"cargo/src/lib.rs": "",
		"npm/package.json": `{"name":"p","version":"1.0.0"}`,
		"npmrc":            "registry=https://npm.invalid/\n",
		"apt/none":         "", "pip/none": "", "curl/none": "", "wget/none": "",
	})
	for name, v := range map[string]string{
		"GOPROXY": "https://go.invalid", "GOSUMDB": "off", "GOTOOLCHAIN": "local", "npm_config_userconfig": filepath.Join(dir, "npmrc"),
		"CARGO_REGISTRIES_T_INDEX": "sparse+https://cargo.invalid/index/", "CARGO_HTTP_TIMEOUT": "4", "CARGO_NET_RETRY": "0", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": "/dev/null",
	} {
		t.Setenv(name, v)
	}
	srv := serve(t, slowly(registry(t, all).Config.Handler))
	o, out := newOptions(t, `cd `+dir+`
try() { name=$1; shift; (cd $name && "$@" >`+dir+`/$name.said 2>&1 && echo $name) & }
try curl curl -sSf --speed-limit 100 --speed-time 4 -o /dev/null https://curl.invalid/file
try wget wget -q --tries=1 --read-timeout=4 -O /dev/null https://wget.invalid/file
try pip pip download --timeout 4 --retries 0 -q --no-input -d . --index-url https://pip.invalid/simple tea
try cargo cargo fetch
try npm npm install --fetch-retries=0 tea
try go go mod download
try apt sh -c 'apt-get update && apt-get -o Acquire::http::Timeout=4 -o Acquire::https::Timeout=4 -o Acquire::Retries=0 download tea'
wait`)
	o = o.WithEtc(dir)
	o.Upstream.Transport = trusting(t, srv)
	o.Environ = os.Environ()
	res, err := session.Record(t.Context(), o)
	for _, name := range []string{"curl", "wget", "pip", "cargo", "npm", "go", "apt"} {
		if !strings.Contains(out.String(), name+"\n") {
			said, _ := os.ReadFile(filepath.Join(dir, name+".said"))
			t.Errorf("%s gave up: %s", name, said)
		}
	}
	if err != nil || len(res.Problems) != 0 {
		t.Errorf("%v\n%v", err, res)
	}
}
