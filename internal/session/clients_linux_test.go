package session_test

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/session"
	"overland/internal/testkit/pack"
)

// files writes files, by path below dir; those that begin with "#!" are programs.
func files(t *testing.T, dir string, all map[string]string) {
	t.Helper()
	for name, text := range all {
		path := filepath.Join(dir, name)
		mode := os.FileMode(0o600)
		if strings.HasPrefix(text, "#!") {
			mode = 0o700
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// Clients that prefer a proxy of their own files to their variables, or heed no variable, come
// through the recorder all the same, and believe it.
func TestClientsWithProxiesOfTheirOwn(t *testing.T) {
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("got " + r.URL.Path + "\n")) }))
	home := t.TempDir()
	const gone = "http://127.0.0.1:9"
	files(t, home, map[string]string{
		".curlrc":    "proxy = " + gone + "\npreproxy = socks5://127.0.0.1:9\ncacert = /none\nuser-agent = mine\n",
		".wgetrc":    "use_proxy = off\nhttps_proxy = " + gone + "\nuser_agent = mine\n",
		".gitconfig": "[http]\n\tproxy = " + gone + "\n[http \"https://anna:geheim@git.invalid/\"]\n\tproxy = " + gone + "\n\tsslCAInfo = /none\n",
		"Get.java":   "class Get { public static void main(String[] a) throws Exception { System.out.print(new String(new java.net.URL(a[0]).openStream().readAllBytes())); } }\n",
	})
	t.Setenv("HOME", home)
	t.Setenv("GIT_CONFIG_COUNT", "1")
	t.Setenv("GIT_CONFIG_KEY_0", "user.name")
	t.Setenv("GIT_CONFIG_VALUE_0", "somebody")
	o, out := newOptions(t, `curl -fsS https://files.invalid/curl; wget -qO- https://files.invalid/wget
		git ls-remote https://anna@git.invalid/r >/dev/null 2>&1; git config user.name; java "$HOME/Get.java" https://files.invalid/java; echo "$GIT_USER_AGENT"; env`)
	o.Stderr = nil
	o.Environ = os.Environ()
	o.Upstream.Transport = trusting(t, srv)
	res, err := session.Record(t.Context(), o)
	if err != nil || !strings.HasPrefix(out.String(), "got /curl\ngot /wget\nsomebody\ngot /java\ngit/2.39.5 (overland)\n") {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Contains(out.String(), "geheim") {
		t.Errorf("the command knows a password of git's settings:\n%s", out)
	}
	var keys []string
	for _, e := range res.Lock.Entries {
		keys = append(keys, e.Key)
	}
	if got := strings.Join(keys, " "); len(keys) != 4 || !strings.Contains(got, "https://git.invalid/r/info/refs?service=git-upload-pack") {
		t.Errorf("%s", got)
	}
	// What the session sets of git's settings is whole without the caller's.
	own := strings.Join(session.Own(strings.Split(out.String(), "\n")), "\n")
	if strings.Contains(own, "user.name") || !strings.Contains(own, "GIT_CONFIG_KEY_0=http.proxy\n") || !strings.Contains(own, "GIT_CONFIG_COUNT=3\n") {
		t.Errorf("%s", own)
	}
}

// A tool that the command does not use cannot stop it, however broken it is.
func TestBrokenToolsStopNothing(t *testing.T) {
	srv := originServer(t)
	bin := t.TempDir()
	const broken = "#!/bin/sh\necho no version is set >&2\nexit 126\n"
	files(t, bin, map[string]string{"npm": broken, "go": broken, "cargo": broken, "pip": broken, "java": broken})
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	o, out := newOptions(t, "curl -fsS "+srv.URL+"/a")
	res, err := session.Record(t.Context(), o)
	if err != nil || out.String() != "content of /a" || len(res.Problems) != 0 || len(res.Lock.Entries) != 1 || len(res.Unproved) < 2 {
		t.Errorf("%v\n%s\n%+v", err, out, res)
	}
	rc := filepath.Join(bin, "npmrc")
	files(t, bin, map[string]string{"npmrc": "registry=${UNSET_REGISTRY}\n"})
	if err := os.Remove(filepath.Join(bin, "npm")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NPM_CONFIG_USERCONFIG", rc)
	out.Reset()
	if res, err := session.Record(t.Context(), o); err != nil || out.String() != "content of /a" {
		t.Errorf("%v\n%s\n%+v", err, out, res)
	}
}

// cargo install leaves its program where it does without a session.
func TestCargoInstallsWhereItAlwaysDid(t *testing.T) {
	work, home := t.TempDir(), t.TempDir()
	files(t, work, map[string]string{"Cargo.toml": pack.Manifest("p", "0.1.0"), "src/main.rs": "fn main() { println!(\"tea\"); }\n"})
	t.Setenv("CARGO_HOME", home)
	o, out := newOptions(t, "cargo install -q --path .")
	o.WorkDir = work
	if _, err := session.Record(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if said, err := exec.CommandContext(t.Context(), filepath.Join(home, "bin", "p")).Output(); err != nil || string(said) != "tea\n" {
		t.Errorf("%v: %s", err, said)
	}
}
