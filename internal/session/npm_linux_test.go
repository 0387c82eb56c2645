package session_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/ecosystem/npm"
	"overland/internal/session"
	"overland/internal/testkit/pack"
)

// sshRepository returns the commit of a new git repository, and settings with which git finds it
// over ssh at git.invalid, below dir.
func sshRepository(t *testing.T, dir, name string, files map[string]string) (commit string, set []string) {
	t.Helper()
	repo := filepath.Join(dir, name)
	if err := os.MkdirAll(repo, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(repo, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := `cd "$1" && git init -q -b main . && git add . && git -c user.name=a -c user.email=a@a.invalid commit -q -m one && git rev-parse HEAD`
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", repo).Output()
	if err != nil {
		t.Fatal(err)
	}
	ssh := filepath.Join(dir, "ssh")
	text := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = git@git.invalid ] || exit 9\nshift\neval \"$(echo \"$*\" | sed \"s#'/#'%s/#\")\"\n", dir)
	if err := os.WriteFile(ssh, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out)), []string{
		"GIT_SSH_COMMAND=" + ssh, "GIT_SSH_VARIANT=simple", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}
}

// teamRegistry is a registry below a path, which keeps some tarballs elsewhere, and a second host
// with an archive.
func teamRegistry(t *testing.T) *httptest.Server {
	const base = "https://registry.invalid/repository/team"
	tool, toolFile := pack.NPM(base, "npm", "9.9.9", "module.exports = 'npm'\n")
	milk, milkFile := pack.NPM(base, "@leaf/milk", "1.0.0", "module.exports = 'milk'\n")
	milk = strings.Replace(milk, base+"/@leaf/milk/-/milk-1.0.0.tgz", "https://files.invalid/dl?name=milk\\u0026v=1", 1)
	_, cupFile := pack.NPM(base, "cup", "1.0.0", "module.exports = 'cup'\n")
	return registry(t, map[string]string{
		"/repository/team/npm": tool, "/repository/team/npm/-/npm-9.9.9.tgz": string(toolFile),
		"/repository/team/npm/9.9.9":  `{"name":"npm","version":"9.9.9",` + tool[strings.Index(tool, `"dist":`):strings.Index(tool, `,"main"`)] + "}",
		"/repository/team/@leaf/milk": milk, "/dl": string(milkFile), "/cup.tgz": string(cupFile),
	})
}

// npm asks its own registry, wherever that is: nothing that it gets, and nothing that it writes,
// is another thing than without a recorder. A replay on a machine that is configured for another
// registry has the same.
func TestNPMAsItIs(t *testing.T) {
	srv := teamRegistry(t)
	ours := t.TempDir()
	commit, set := sshRepository(t, ours, "pot.git", map[string]string{"package.json": `{"name":"pot","version":"1.0.0"}`, "index.js": "module.exports = 'pot'\n"})
	rc := filepath.Join(ours, "npmrc")
	if err := os.WriteFile(rc, []byte("registry=https://registry.invalid/repository/team/\nproxy=http://127.0.0.1:9/\nhttps-proxy=http://127.0.0.1:9/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NPM_CONFIG_USERCONFIG", rc)
	for _, kv := range set {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	project := `{"name":"tea","version":"1.0.0","dependencies":{"npm":"9.9.9","@leaf/milk":"^1.0.0","cup":"https://archive.invalid/cup.tgz?x=1","pot":"git+ssh://git@git.invalid/pot.git"}}`
	o, out := newOptions(t, `set -e; cd `+ours+`; if [ "$OVERLAND_SESSION" = record ]; then echo '`+project+`' >package.json; npm install --fetch-retries=0 --silent; rm -rf "$npm_config_cache"; fi
		rm -rf node_modules; npm ci --fetch-retries=0 --silent; grep -o '"resolved": [^,]*' package-lock.json | sort; cd node_modules; cat npm/index.js @leaf/milk/index.js cup/index.js pot/index.js`)
	o.Write = []string{ours}
	o.Upstream.Transport = trusting(t, srv)
	want := `"resolved": "git+ssh://git@git.invalid/pot.git#` + commit + `"
"resolved": "https://archive.invalid/cup.tgz?x=1"
"resolved": "https://files.invalid/dl?name=milk&v=1"
"resolved": "https://registry.invalid/repository/team/npm/-/npm-9.9.9.tgz"
module.exports = 'npm'
module.exports = 'milk'
module.exports = 'cup'
module.exports = 'pot'
`
	res, err := session.Record(t.Context(), o)
	if err != nil || out.String() != want {
		t.Fatalf("%v\n%s\n%v", err, out, res)
	}
	if e, ok := res.Lock.Find(npm.Name, "npm/-/npm-9.9.9.tgz"); !ok || e.Proof.Kind != npm.ProofIntegrity {
		t.Errorf("%+v", res.Lock)
	}
	srv.Close()
	out.Reset()
	o.Lock = res.Lock
	if err := os.WriteFile(rc, []byte("registry=https://elsewhere.invalid/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	res, err = session.Replay(t.Context(), o)
	if err != nil || out.String() != want || len(res.Problems) != 0 {
		t.Errorf("on another machine: %v\n%s\n%v", err, out, res.Problems)
	}
}

// A registry without TLS that wants a login: it alone gets it, wherever its tarballs are, and no lock
// does.
func TestNPMLogsInWhereTheUserSaysSo(t *testing.T) {
	const base = "http://registry.invalid/team"
	tea, teaFile := pack.NPM(base, "tea", "1.0.0", "module.exports = 'tea'\n")
	milk, milkFile := pack.NPM(base, "milk", "1.0.0", "module.exports = 'milk'\n")
	milk = strings.Replace(milk, base+"/milk/-/milk-1.0.0.tgz", "http://files.invalid/milk.tgz", 1)
	pages := map[string]string{"/team/tea": tea, "/team/tea/-/tea-1.0.0.tgz": string(teaFile), "/team/milk": milk, "/milk.tgz": string(milkFile)}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wants := r.Host == "registry.invalid"
		if got := r.Header.Get("Authorization"); wants != (got == "Bearer SECRET") || !wants && got != "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, pages[r.URL.Path])
	}))
	srv.Listener.Close()
	srv.Listener = listen(t, "127.0.0.2:0")
	srv.Start()
	t.Cleanup(srv.Close)
	rc := filepath.Join(t.TempDir(), "npmrc")
	if err := os.WriteFile(rc, []byte("registry="+base+"/\n//registry.invalid/team/:_authToken=SECRET\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("npm_config_userconfig", rc)
	res := recordAndReplay(t, srv, "npm install --fetch-retries=0 --silent tea milk; cat node_modules/tea/index.js node_modules/milk/index.js", "module.exports = 'tea'\nmodule.exports = 'milk'\n")
	var text strings.Builder
	if err := res.Lock.Write(&text); err != nil || strings.Contains(text.String(), "SECRET") || !strings.Contains(text.String(), "files.invalid/milk.tgz") {
		t.Errorf("%v\n%s", err, &text)
	}
}
