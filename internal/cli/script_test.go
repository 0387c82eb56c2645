package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"overland/internal/cli"
	"overland/internal/cli/nodecli"
	"overland/internal/clock"
	"overland/internal/confine"
	"overland/internal/environ"
	"overland/internal/fsx"
	"overland/internal/session"
	"overland/internal/testkit/bins"
	"overland/internal/testkit/machine"
)

func TestMain(m *testing.M) {
	machine.Init()
	if len(os.Args) > 1 && os.Args[1] == confine.Verb {
		confine.Main()
	}
	if d, err := time.ParseDuration(os.Getenv(asMain)); err == nil {
		if len(os.Args) > 1 && os.Args[1] == "overland-agent" {
			os.Exit(nodecli.Main(os.Args[2:]))
		}
		os.Exit(cli.MainWithin(d))
	}
	if len(os.Args) > 1 && (os.Args[1] == session.Verb || os.Args[1] == "build" || os.Getenv(asOverland) != "") {
		os.Exit(mainAt()) // a session of a test starts its own program, and overland open its own build
	}
	testscript.Main(sharing{m}, map[string]func(){
		"overland":       func() { os.Exit(mainAt()) },
		"overland-agent": func() { os.Exit(nodecli.Main(os.Args[1:])) },
	})
}

// sharing runs the tests with a folder that they share: compiling the runtime anew for each site
// would take most of their time.
type sharing struct{ *testing.M }

func (m sharing) Run() int {
	var err error
	if shared, err = os.MkdirTemp("", "overland-cli-"); err != nil {
		panic(err)
	}
	defer func() { _ = fsx.RemoveTree(shared) }()
	if err := bins.ShareStandard(context.Background(), filepath.Join(compiled(), "go-build")); err != nil {
		panic(err)
	}
	return m.M.Run()
}

// shared is the folder that tests share: compiled/ is $OVERLAND_COMPILED, site/ is made by newSite.
var shared string

func compiled() string { return filepath.Join(shared, "compiled") }

// asOverland is set for a program of a test that is to be overland.
const asOverland = "TEST_AS_OVERLAND"

// asMain is set, to how long it may take to end, for a program of a test that is to be interrupted.
const asMain = "TEST_AS_MAIN"

// mainAt is Main at the time of day $TEST_NOW, so that a script can be years later.
func mainAt() int {
	var now clock.Clock
	if s := os.Getenv("TEST_NOW"); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			panic(err)
		}
		now = clock.At(t)
	}
	return cli.Run(context.Background(), cli.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: environ.Hide(), Clock: now,
	})
}

// TestScripts runs testdata/script. A script has $OVERLAND_HOME, an agent program for linux/amd64,
// and commands of its own: "commit MESSAGE" commits the current folder, with $REF, $REF1, $REF2, …
// naming the releases of its commits; "exits CODE overland ARGS…" demands an exit code and, on
// failure, one message with one hint; "registries" serves Python and Rust packages.
func TestScripts(t *testing.T) {
	modules := goEnv(t, "GOMODCACHE")
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup:         func(e *testscript.Env) error { return prepare(e, modules) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"commit": commit, "exits": exits, "flip": flip, "read": read, "registries": registries, "spoil": spoil,
		},
	})
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// prepare gives a script its own site directory; what the Go command caches is shared.
func prepare(e *testscript.Env, modules string) error {
	home, agent := filepath.Join(e.WorkDir, "home"), filepath.Join(e.WorkDir, "agents", "linux-amd64", "overland-agent")
	const dir, file = 0o755, 0o755
	for _, d := range []string{home, filepath.Dir(agent), filepath.Join(compiled(), "go-build"), filepath.Join(home, "cache")} {
		if err := os.MkdirAll(d, dir); err != nil {
			return err
		}
	}
	if err := os.Symlink(filepath.Join(compiled(), "go-build"), filepath.Join(home, "cache", "go-build")); err != nil {
		return err
	}
	if err := os.WriteFile(agent, []byte("#!/bin/sh\necho agent \"$@\"\n"), file); err != nil {
		return err
	}
	e.Setenv("OVERLAND_HOME", home)
	e.Setenv("OVERLAND_AGENTS", filepath.Join(e.WorkDir, "agents"))
	e.Setenv("GOMODCACHE", modules)
	e.Setenv("HOME", e.WorkDir)
	e.Values[registriesKey{}] = new(func())
	for _, name := range []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "SSL_CERT_FILE", "HTTPS_PROXY"} {
		e.Setenv(name, os.Getenv(name))
	}
	return nil
}

func commit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: commit MESSAGE")
	}
	git := func(args ...string) string {
		args = append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)
		ts.Check(ts.Exec("git", args...))
		return strings.TrimSpace(ts.ReadFile("stdout"))
	}
	ts.Setenv("GIT_AUTHOR_DATE", "2026-03-01T12:00:00Z")
	ts.Setenv("GIT_COMMITTER_DATE", "2026-03-01T12:00:00Z")
	git("init", "-q", "-b", "main")
	git("add", "-A")
	git("commit", "-q", "-m", args[0])
	count := git("rev-list", "--count", "HEAD")
	ref := fmt.Sprintf("wallet@r%s.%s", count, git("rev-parse", "--short=12", "HEAD"))
	ts.Setenv("REF", ref)
	ts.Setenv("REF"+count, ref)
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE overland ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	stderr := strings.TrimSpace(ts.ReadFile("stderr"))
	_, message, _ := strings.Cut("\n"+strings.ReplaceAll(stderr, "overland: warning: ", ""), "\noverland: ")
	if want != 0 && (message == "" || strings.Count(message, " · hint: ") != 1 || strings.Contains(message, "\noverland: ")) {
		ts.Fatalf("not one message with a hint: %q", stderr)
	}
}

// read sets a variable to what a file holds.
func read(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: read NAME FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// flip changes one byte of a file, at an offset from its end when it is negative.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b[(at+len(b))%len(b)] ^= 1
	const mode = 0o644
	ts.Check(os.WriteFile(path, b, mode))
}

// spoil changes the largest blob of the depot.
func spoil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: spoil")
	}
	list, err := filepath.Glob(filepath.Join(ts.Getenv("OVERLAND_HOME"), "depot", "blobs", "sha256", "*"))
	ts.Check(err)
	var largest string
	var most int64
	for _, path := range list {
		if info, err := os.Stat(path); err == nil && info.Size() > most {
			largest, most = path, info.Size()
		}
	}
	const mode = 0o644
	ts.Check(os.Chmod(largest, mode))
	flip(ts, false, []string{largest, "-1"})
}
