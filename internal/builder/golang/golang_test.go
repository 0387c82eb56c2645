package golang

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/confine"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/source"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/bins"
)

// greeter is the application of testdata/greeter.
var greeter = &appfile.App{Overland: 1, Name: "greeter", Artifacts: map[string]appfile.Artifact{"greeter": {Builder: Key, Settings: &Program{
	Package: "./cmd/greeter", Vars: map[string]string{"main.version": "{{.Version}}"},
}}}}

// site is a folder that results are kept in, and what happened in it.
type site struct {
	dir   string
	store *storedir.Store
	builder.Request

	mu     sync.Mutex
	events []progress.Event
}

// newSite returns a site whose compiler cache is goCache.
func newSite(t testing.TB, dir, goCache string) *site {
	t.Helper()
	s, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &site{dir: dir, store: s}
	w.Request = builder.Request{
		Builders: map[string]builder.Builder{"go": New(Options{Cache: goCache})},
		Cache:    filepath.Join(dir, "cache"),
		Progress: func(e progress.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
	return w
}

// steps returns what happened since the last call: the steps, in order.
func (w *site) steps() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, e := range w.events {
		list = append(list, strings.Fields(e.Note)[0])
	}
	w.events = nil
	return strings.Join(list, " ")
}

// build builds app from HEAD of dir for platforms.
func (w *site) build(ctx context.Context, dir string, app *appfile.App, platforms ...platform.Platform) ([]builder.Built, error) {
	repo, err := source.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	commit, err := repo.Resolve(ctx, "")
	if err != nil {
		return nil, err
	}
	req := w.Request
	req.Repo, req.Commit, req.App, req.Platforms = repo, commit, app, platforms
	return builder.Run(ctx, w.store, req)
}

// program puts a built program into a file that can be run.
func (w *site) program(t testing.TB, b builder.Built) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), b.File)
	if err := w.store.Place(t.Context(), b.Digest, path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// sharedCache is a compiler cache that lasts for one run of the tests, for those
// that are not about a cold one.
func sharedCache(t testing.TB) string {
	t.Helper()
	if shared == "" {
		t.Fatal("no shared cache: TestMain did not run")
	}
	return shared
}

var shared string

// helperVar makes the test program a helper that builds the repository named by
// it, and prints a helperResult.
const helperVar = "OVERLAND_TEST_BUILD"

type helperResult struct {
	UID   int
	Built builder.Built
}

func help(dir string) error {
	s, err := storedir.Open("depot", storedir.Options{})
	if err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	w := &site{store: s, Request: builder.Request{
		Cache:    filepath.Join(here, "cache"),
		Builders: map[string]builder.Builder{"go": New(Options{Cache: filepath.Join(here, "cache", "go-build")})},
	}}
	built, err := w.build(context.Background(), dir, greeter, "linux/amd64")
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(helperResult{os.Getuid(), built[0]})
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Verb { // a build is confined by its own program
		confine.Main()
	}
	if dir := os.Getenv(helperVar); dir != "" {
		if err := help(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "overland-go-build-")
		if err != nil {
			panic(err)
		}
		defer func() {
			if err := os.RemoveAll(dir); err != nil {
				panic(err)
			}
		}()
		shared = dir
		if err := bins.ShareStandard(context.Background(), dir); err != nil {
			panic(err)
		}
		code := m.Run()
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// commit makes a repository of testdata/greeter with files changed ("" =
// removed), and returns its folder.
func commit(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/greeter")); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "init", "-q", "-b", "main")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "start")
	if len(files) > 0 { // on top: the same first commit is the same cache
		edit(t, dir, files)
		git(t, dir, "add", "-A")
		git(t, dir, "commit", "-q", "-m", "change")
	}
	return dir
}

func edit(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if content == "" {
			err = errors.Join(err, os.RemoveAll(path))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(content), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func git(t testing.TB, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org",
		"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func TestResultRuns(t *testing.T) {
	w := newSite(t, t.TempDir(), sharedCache(t))
	dir := commit(t, nil)
	// What is not committed does not leak.
	edit(t, dir, map[string]string{"cmd/greeter/main.go": "package main\n\nfunc main() { panic(1) }\n", "cmd/greeter/evil.go": "broken"})
	built, err := w.build(t.Context(), dir, greeter, "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(w.program(t, built[0])).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "greeter r1.") || !strings.Contains(string(out), "transform: short destination buffer") {
		t.Errorf("it printed %q, %v", out, err)
	}
	if got, want := w.steps(), "checkout fetch fetch compile done"; got != want {
		t.Errorf("steps %q, want %q", got, want)
	}
	if b := built[0]; b.Toolchain != "go1.26.8" || b.File != "greeter" || b.Cached {
		t.Errorf("got %+v", b)
	}
}
