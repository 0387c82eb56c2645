package golang

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/errs"
	"overland/internal/source"
)

func TestSourceErrors(t *testing.T) {
	sum, err := os.ReadFile("testdata/greeter/go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		files      map[string]string
		pkg        string
		kind       errs.Kind
		says, hint string
	}{
		"does not compile": {
			map[string]string{"cmd/greeter/more.go": "package main\n\nvar x int = \"text\"\n"},
			"", errs.Invalid,
			"it does not compile:\n# example.org/greeter/cmd/greeter\ncmd/greeter/more.go:3:13: cannot use", "go build ./cmd/greeter",
		},
		"does not parse":  {map[string]string{"cmd/greeter/more.go": "package main\n\nfunc {\n"}, "", errs.Invalid, "cmd/greeter/more.go:3:6", ""},
		"no such package": {nil, "./cmd/none", errs.Invalid, "cmd/none", "no such folder in the commit"},
		"only cgo": {
			map[string]string{"cmd/greeter/main.go": "package main\n\n// int x;\nimport \"C\"\n\nfunc main() { println(C.x) }\n"},
			"", errs.Invalid, "build constraints exclude all Go files", "cgo, which is off",
		},
		"no file for Linux": {
			map[string]string{"cmd/greeter/main.go": "//go:build windows\n\npackage main\n\nfunc main() {}\n"},
			"", errs.Invalid, "build constraints exclude all Go files", "platforms in overland.yaml",
		},
		"an embed that is generated": {
			map[string]string{".gitignore": "dist\n", "cmd/greeter/e.go": "package main\n\nimport _ \"embed\"\n\n//go:embed dist\nvar x []byte\n"},
			"", errs.Invalid, "pattern dist: no matching files found", "command",
		},
		"a replacement that is not there": {
			map[string]string{"go.mod": "module example.org/greeter\n\ngo 1.26.0\n\ntoolchain go1.26.8\n\nrequire example.org/lib v1.0.0\n\nreplace example.org/lib => ./lib\n"},
			"", errs.Invalid, "lib", "replace",
		},
		"an old vendor": {
			map[string]string{
				"go.mod":             "module example.org/greeter\n\ngo 1.26.0\n\ntoolchain go1.26.8\n\nrequire example.org/lib v1.0.0\n",
				"vendor/modules.txt": "# example.org/lib v0.9.0\n## explicit; go 1.26.0\nexample.org/lib\n",
			},
			"", errs.Invalid, "inconsistent vendoring", "go mod vendor",
		},
		"no module provides it": {
			map[string]string{"cmd/greeter/more.go": "package main\n\nimport _ \"example.org/none\"\n"},
			"", errs.Invalid, "example.org/none", "go mod tidy",
		},
		"not a command": {map[string]string{"lib/lib.go": "package lib\n"}, "./lib", errs.Invalid, "./lib is package lib: not a command", "package main"},
		"no module":     {map[string]string{"go.mod": ""}, "", errs.NotFound, "go.mod is not in r2.", "dir: FOLDER"},
		"bad go.mod":    {map[string]string{"go.mod": "module x\n\nrequire (\n"}, "", errs.Invalid, "go.mod:", ""},
		"no go.sum":     {map[string]string{"go.sum": ""}, "", errs.Invalid, "missing go.sum entry", "go mod tidy"},
		"tampered module": {
			map[string]string{"go.sum": strings.Replace(string(sum), "h1:vz/", "h1:zv/", 1)},
			"", errs.Untrusted,
			"checksum mismatch", "GOSUMDB",
		},
	} {
		t.Run(name, func(t *testing.T) {
			app := &appfile.App{Name: "greeter", Artifacts: map[string]appfile.Artifact{"greeter": {Builder: Key, Settings: &Program{Package: "./cmd/greeter"}}}}
			if test.pkg != "" {
				app.Artifacts["greeter"].Settings.(*Program).Package = test.pkg
			}
			w := newSite(t, t.TempDir(), sharedCache(t))
			_, err := w.build(t.Context(), commit(t, test.files), app, "linux/amd64")
			if errs.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.says) || !strings.Contains(errs.HintOf(err), test.hint) {
				t.Errorf("%v: %v (hint %q)\nwant %v: %s", errs.KindOf(err), err, errs.HintOf(err), test.kind, test.says)
			}
			if err != nil && strings.Contains(err.Error(), w.dir) {
				t.Errorf("it names a folder of the build: %v", err)
			}
		})
	}
}

// TestFetchErrors has an empty module cache and nothing, or a liar, in the place of the proxy.
func TestFetchErrors(t *testing.T) {
	const toolchain = "go1.22.1" // not in anybody's cache: the tests' cache is empty
	liar := httptest.NewServer(proxyOf(t, toolchain))
	defer liar.Close()
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) }))
	defer portal.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	for name, test := range map[string]struct {
		env  []string
		kind errs.Kind
		hint string
	}{
		"proxy off":                   {[]string{"GOPROXY=off"}, errs.Unavailable, "build once with a network"},
		"nobody listens":              {[]string{"GOPROXY=" + closed.URL}, errs.Unavailable, "go env GOPROXY"},
		"proxy is ill":                {[]string{"GOPROXY=" + portal.URL}, errs.Unavailable, "go env GOPROXY"},
		"unverified toolchain":        {[]string{"GOPROXY=" + liar.URL, "GOSUMDB=off"}, errs.Untrusted, "GOSUMDB"},
		"unverified, and told not to": {[]string{"GOPROXY=" + liar.URL, "GOSUMDB=off", "GONOSUMDB=*", "GOINSECURE=*"}, errs.Untrusted, "GOSUMDB"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSite(t, t.TempDir(), sharedCache(t))
			w.Builders["go"] = New(Options{Cache: sharedCache(t), ModCache: t.TempDir(), Env: append(os.Environ(), test.env...)})
			app := &appfile.App{Name: "greeter", Artifacts: map[string]appfile.Artifact{"greeter": {Builder: Key, Settings: &Program{Package: "./cmd/greeter", Toolchain: toolchain}}}}
			_, err := w.build(t.Context(), commit(t, nil), app, "linux/amd64")
			if errs.KindOf(err) != test.kind || !strings.Contains(err.Error(), toolchain) || !strings.Contains(errs.HintOf(err), test.hint) {
				t.Errorf("%v: %v (hint %q)\nwant %v, %q", errs.KindOf(err), err, errs.HintOf(err), test.kind, test.hint)
			}
		})
	}
}

// proxyOf returns a module proxy whose toolchain is not the real one.
func proxyOf(t *testing.T, version string) http.Handler {
	t.Helper()
	module := "v0.0.1-" + version + "." + runtime.GOOS + "-" + runtime.GOARCH
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("golang.org/toolchain@" + module + "/bin/go")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, "#!/bin/sh\necho evil\n"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{".info": `{"Version":"` + module + `"}`, ".mod": "module golang.org/toolchain\n", ".zip": b.String()}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for ext, content := range files {
			if r.URL.Path == "/golang.org/toolchain/@v/"+module+ext {
				_, _ = io.WriteString(w, content)
				return
			}
		}
		http.NotFound(w, r)
	})
}

func TestToolchainIsWhatIsAskedFor(t *testing.T) {
	running := "go version of the machine"
	for name, test := range map[string]struct {
		files     map[string]string
		dir       string
		toolchain string
		want      string
		workspace string
	}{
		"go line":                {files: map[string]string{"go.mod": "module x\ngo 1.24.3\n"}, want: "go1.24.3"},
		"language version":       {files: map[string]string{"go.mod": "module x\ngo 1.25\n"}, want: "go1.25.0"},
		"release candidate":      {files: map[string]string{"go.mod": "module x\ngo 1.25rc1\n"}, want: "go1.25rc1"},
		"toolchain line":         {files: map[string]string{"go.mod": "module x\ngo 1.24.0\ntoolchain go1.26.8\n"}, want: "go1.26.8"},
		"older toolchain line":   {files: map[string]string{"go.mod": "module x\ngo 1.24.9\ntoolchain go1.24.1\n"}, want: "go1.24.9"},
		"default toolchain line": {files: map[string]string{"go.mod": "module x\ngo 1.24.9\ntoolchain default\n"}, want: "go1.24.9"},
		"artifact says":          {files: map[string]string{"go.mod": "module x\ngo 1.24.9\n"}, toolchain: "go1.25.1", want: "go1.25.1"},
		"before modules":         {files: map[string]string{"go.mod": "module x\ngo 1.20\n"}, want: running},
		"nothing":                {files: map[string]string{"go.mod": "module x\n"}, want: running},
		"in a folder":            {files: map[string]string{"a/b/go.mod": "module x\ngo 1.24.9\n", "go.mod": "module y\ngo 1.25.0\n"}, dir: "a/b", want: "go1.24.9"},
		"workspace": {
			files: map[string]string{"a/go.mod": "module x\ngo 1.24.9\n", "go.work": "go 1.25.0\nuse ./a\n"}, dir: "a",
			want: "go1.25.0", workspace: "go.work",
		},
		"workspace of others": {files: map[string]string{"a/go.mod": "module x\ngo 1.24.9\n", "go.work": "go 1.25.0\nuse ./b\n"}, dir: "a", want: "go1.24.9"},
		"own toolchain":       {files: map[string]string{"go.mod": "module x\ngo 1.24.0\ntoolchain go1.26.8-custom\n"}, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := New(Options{})
			j := builder.Job{
				Name: "x", Artifact: appfile.Artifact{Builder: Key, Settings: &Program{Package: ".", Dir: test.dir, Toolchain: test.toolchain}},
				ReadFile: func(_ context.Context, name string) ([]byte, error) {
					if text, ok := test.files[name]; ok {
						return []byte(text), nil
					}
					return nil, fs.ErrNotExist
				},
			}
			r, err := b.Recipe(t.Context(), j)
			if test.want == "" {
				if errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
					t.Errorf("got %v, %v", r, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.want == running {
				h, err := b.machine(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				test.want = h.Go.GOVERSION
			}
			if r.Toolchain != test.want || r.Settings.(settings).Workspace != test.workspace {
				t.Errorf("toolchain %s, workspace %q; want %s, %q", r.Toolchain, r.Settings.(settings).Workspace, test.want, test.workspace)
			}
		})
	}
}

func TestVariablesAreOnlyPartOfTheRecipeWhenUsed(t *testing.T) {
	b := New(Options{})
	recipe := func(vars map[string]string, version string) []string {
		j := builder.Job{
			Name: "x", Artifact: appfile.Artifact{Builder: Key, Settings: &Program{Package: ".", Vars: vars}},
			Commit: source.Commit{Version: version, Hash: "h" + version, Tag: source.Tag{Name: "v1", Since: 2}, Time: time.Unix(0, 0).In(time.FixedZone("", 3600))},
			ReadFile: func(_ context.Context, name string) ([]byte, error) {
				if name != "go.mod" {
					return nil, fs.ErrNotExist
				}
				return []byte("module x\ngo 1.24.0\n"), nil
			},
		}
		r, err := b.Recipe(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		return r.Settings.(settings).Vars
	}
	if got := recipe(map[string]string{"main.b": "{{ .Commit }} {{.Version}}", "main.a": "x"}, "r1"); strings.Join(got, ";") != "main.a=x;main.b=hr1 r1" {
		t.Errorf("got %q", got)
	}
	if got := recipe(map[string]string{"main.at": "{{.Time}}"}, "r1"); strings.Join(got, ";") != "main.at=1970-01-01T00:00:00Z" {
		t.Errorf("got %q", got)
	}
	if got := recipe(map[string]string{"main.tag": "{{.Tag}}"}, "r1"); strings.Join(got, ";") != "main.tag=v1" {
		t.Errorf("got %q", got)
	}
	if got := recipe(map[string]string{"main.format": `{{"{{"}}.Names}} {{.Version}}`}, "r1"); strings.Join(got, ";") != "main.format={{.Names}} r1" {
		t.Errorf("got %q", got)
	}
	if a, b := recipe(map[string]string{"main.a": "x"}, "r1"), recipe(map[string]string{"main.a": "x"}, "r2"); strings.Join(a, ";") != strings.Join(b, ";") {
		t.Errorf("%q, %q", a, b)
	}
}

// TestCancelKillsAll has a Go command whose child holds a pipe open: the pipe ends
// when the last of them is dead.
func TestCancelKillsAll(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n[ $1 = env ] && { echo '{\"GOVERSION\":\"go1.26.8\",\"GOHOSTOS\":\"linux\",\"GOHOSTARCH\":\"amd64\"}'; exit; }\n" +
		"exec 3>" + pipe + "\necho started >&3\nsleep 1000 &\nwait\n"
	command := filepath.Join(dir, "go")
	if err := os.WriteFile(command, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	w := newSite(t, t.TempDir(), sharedCache(t))
	w.Builders["go"] = New(Options{Go: command, Cache: sharedCache(t)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	repo := commit(t, nil)
	go func() {
		_, err := w.build(ctx, repo, greeter, "linux/amd64")
		ended <- err
	}()
	f, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := make([]byte, len("started\n"))
	if _, err := io.ReadFull(f, line); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; errs.KindOf(err) != errs.Cancelled {
		t.Errorf("error %v (%v), want Cancelled", err, errs.KindOf(err))
	}
	if _, err := io.ReadAll(f); err != nil { // blocks for as long as the child lives
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, "cache", "work", "build-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestMachineWithoutAUsableGo(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "go")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho '{\"GOVERSION\":\"go1.19.8\"}'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]errs.Kind{old: errs.Invalid, filepath.Join(dir, "none"): errs.NotFound} {
		if _, err := New(Options{Go: command}).machine(t.Context()); errs.KindOf(err) != want || !strings.Contains(errs.HintOf(err), "install Go 1.21") {
			t.Errorf("%s: %v (hint %q), want %v", command, err, errs.HintOf(err), want)
		}
	}
}

// TestWorkspaceAndVendor builds a module that needs the workspace, and one
// that has its dependencies with it.
func TestWorkspaceAndVendor(t *testing.T) {
	const main = "package main\n\nimport \"example.org/lib\"\n\nfunc main() { println(lib.Name) }\n"
	files := map[string]string{
		"go.mod": "", "go.sum": "", "cmd": "",
		"go.work":                                "go 1.26.0\n\ntoolchain go1.26.8\n\nuse (\n\t./app\n\t./lib\n)\n",
		"app/go.mod":                             "module example.org/app\n\ngo 1.26.0\n",
		"app/main.go":                            main,
		"lib/go.mod":                             "module example.org/lib\n\ngo 1.26.0\n",
		"lib/lib.go":                             "package lib\n\nconst Name = \"lib\"\n",
		"vendored/go.mod":                        "module example.org/vendored\n\ngo 1.26.0\n\ntoolchain go1.26.8\n\nrequire example.org/lib v1.0.0\n",
		"vendored/vendor/modules.txt":            "# example.org/lib v1.0.0\n## explicit; go 1.26.0\nexample.org/lib\n",
		"vendored/vendor/example.org/lib/lib.go": "package lib\n\nconst Name = \"vendored\"\n",
		"vendored/main.go":                       main,
	}
	app := &appfile.App{Name: "two", Artifacts: map[string]appfile.Artifact{
		"app":      {Builder: Key, Settings: &Program{Package: ".", Dir: "app"}},
		"vendored": {Builder: Key, Settings: &Program{Package: ".", Dir: "vendored"}},
	}}
	w := newSite(t, t.TempDir(), sharedCache(t))
	w.Parallel = 2
	built, err := w.build(t.Context(), commit(t, files), app, "linux/amd64")
	if err != nil || len(built) != 2 {
		t.Fatal(built, err)
	}
}

func BenchmarkWarmFivePlatforms(b *testing.B) {
	w := newSite(b, b.TempDir(), sharedCache(b))
	dir := commit(b, nil)
	if _, err := w.build(b.Context(), dir, greeter); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		built, err := w.build(b.Context(), dir, greeter)
		if err != nil || len(built) != 5 || !built[0].Cached {
			b.Fatal(built, err)
		}
	}
}

// A program that compiles without cgo, but not to what it is with it, is told.
func TestCgoIsSaid(t *testing.T) {
	files := map[string]string{
		"cmd/greeter/native.go": "package main\n\n// int x;\nimport \"C\"\n\nvar driver = int(C.x)\n",
		"cmd/greeter/stub.go":   "//go:build !cgo\n\npackage main\n\nvar driver = -1\n",
		"cmd/greeter/win.go":    "//go:build windows\n\npackage main\n\nimport \"C\"\n",
	}
	w := newSite(t, t.TempDir(), sharedCache(t))
	var notes []string
	w.Note = func(s string) { notes = append(notes, s) }
	if _, err := w.build(t.Context(), commit(t, files), greeter, "linux/amd64"); err != nil {
		t.Fatal(err)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "cgo is off") || !strings.Contains(notes[0], "example.org/greeter/cmd/greeter") {
		t.Errorf("told: %q", notes)
	}
	notes = nil
	if _, err := w.build(t.Context(), commit(t, nil), greeter, "linux/amd64"); err != nil || len(notes) > 0 {
		t.Errorf("without cgo: told %q, %v", notes, err)
	}
}
