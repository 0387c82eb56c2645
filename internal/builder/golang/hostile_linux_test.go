package golang

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/confine/cell"
	"overland/internal/errs"
)

// app is a Go program at the top of its repository.
var app = &appfile.App{Name: "app", Artifacts: map[string]appfile.Artifact{"app": {Builder: Key, Settings: &Program{Package: "."}}}}

// The Go release is the commit's choice, and it may have holes: whatever it is asked to do, it sees
// what a build sees, and reaches nothing.
func TestS4TheGoOfACommitRunsInACell(t *testing.T) {
	outside, mods := t.TempDir(), t.TempDir()
	edit(t, outside, map[string]string{".netrc": "s3cr3t"})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	goroot := t.TempDir()
	script := strings.NewReplacer("OUTSIDE", outside, "MODS", mods, "PORT", l.Addr().String()[len("127.0.0.1:"):]).Replace(`#!/bin/bash
PATH=/usr/bin:/bin
said=$GOCACHE/said
{
	echo "$1" >>OUTSIDE/ran && echo "$1: it wrote to a folder of the operator's"
	cat OUTSIDE/.netrc && echo "$1: it read a login"
	echo "$1" >>MODS/ran && echo "$1: it changed the module cache"
	echo "$1" >/dev/tcp/127.0.0.1/PORT && echo "$1: it reached the network"
	[ -z "$OPERATOR_TOKEN" ] || echo "$1: it has the operator's variables"
	[ "${*: -1}" != fmt ] || [ -z "$(find / -name main.go -path "*/build-*" -print -quit)" ] || echo "$1: it sees an application"
	echo "$1" >"$GOCACHE/../../std/ran"
	case $HOME in */build-*) ;; *) echo "$1: it has the home $HOME" ;; esac
} >>"$said" 2>/dev/null
case $1 in
list) echo '{"ImportPath":"example.org/app","Name":"main","Dir":"'$PWD'","GoFiles":["main.go"]}{"ImportPath":"fmt","Name":"fmt","Standard":true,"DepOnly":true}' ;;
build) while [ $# -gt 0 ] && [ "$1" != -o ]; do shift; done; [ $# -gt 0 ] || exit 0; mkdir -p "$(dirname "$2")"; { echo report:; cat "$said"; } >"$2" ;;
esac
`)
	edit(t, goroot, map[string]string{"bin/go": script})
	if err := os.Chmod(filepath.Join(goroot, "bin", "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	edit(t, dir, map[string]string{"go.mod": plainMod, "main.go": "package main\n\nfunc main() {}\n"})
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "x")
	t.Setenv("OPERATOR_TOKEN", "s3cr3t")
	for isolation, want := range map[cell.Isolation]int{cell.Full: 0, cell.None: 6} {
		w := newSite(t, t.TempDir(), t.TempDir())
		caches := t.TempDir()
		b := New(Options{Cache: caches, ModCache: mods, Isolation: isolation})
		b.toolchains["go1.26.8"] = goroot
		w.Builders["go"] = b
		built, err := w.build(t.Context(), dir, app, "linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		blob, err := w.store.Open(t.Context(), built[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(blob)
		if err = errors.Join(err, blob.Close()); err != nil || !strings.HasPrefix(string(said), "report:\n") {
			t.Fatalf("%q, %v", said, err)
		}
		if got := strings.Count(string(said), "list: it "); got != want {
			t.Errorf("isolation %s: %d of %d attempts:\n%s", isolation, got, want, said)
		}
		if isolation == cell.None {
			continue
		}
		// Nor does it reach the standard library that is compiled for all, which is made as alone.
		if list, err := os.ReadDir(filepath.Join(caches, "std")); err != nil || len(list) != 2 {
			t.Errorf("%v, %v", list, err)
		}
		seed, err := os.ReadFile(filepath.Join(caches, "std", "go1.26.8-linux-amd64", "said"))
		if err != nil || len(seed) > 0 {
			t.Errorf("the standard library: %q, %v", seed, err)
		}
	}
}

// What a module needs of the caller's logins it has: git's, for a private module. The commit's Go
// has none of them, and is handed what go.sum names.
func TestPrivateModulesAreBroughtByTheMachinesGo(t *testing.T) {
	const name, version = "example.org/private.git", "v1.0.0"
	private, home := t.TempDir(), t.TempDir()
	files := map[string]string{"go.mod": "module " + name + "\n\ngo 1.21\n", "word.go": "package private\n\nconst Word = \"private\"\n"}
	edit(t, private, files)
	sum, err := dirhash.HashDir(private, name+"@"+version, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	head, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(files["go.mod"])), nil })
	if err != nil {
		t.Fatal(err)
	}
	git(t, private, "init", "-q", "-b", "main")
	git(t, private, "add", "-A")
	git(t, private, "commit", "-q", "-m", "x")
	git(t, private, "tag", version)
	// The caller's settings of git stand for its logins.
	edit(t, home, map[string]string{".gitconfig": "[url \"" + private + "\"]\n\tinsteadOf = https://example.org/private\n"})

	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	git(t, dir, "commit", "-q", "--allow-empty", "-m", "one cache for all")
	edit(t, dir, map[string]string{
		"go.mod":  plainMod + "\nrequire " + name + " " + version + "\n",
		"go.sum":  name + " " + version + " " + sum + "\n" + name + " " + version + "/go.mod " + head + "\n",
		"main.go": "package main\n\nimport \"" + name + "\"\n\nfunc main() { println(private.Word) }\n",
	})
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "x")

	// A Go that is older than what a module asks for downloads it, and unpacks nothing.
	older := filepath.Join(t.TempDir(), "go")
	if err := os.WriteFile(older, []byte("#!/bin/sh\ngo \"$@\"\nrc=$?\n[ \"$1\" = env ] || { chmod -R u+w \"$GOMODCACHE/example.org\"; rm -rf \"$GOMODCACHE/example.org\"; }\nexit $rc\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"go", older} {
		mods := t.TempDir()
		t.Cleanup(func() { _ = removeClosed(mods) })
		b := New(Options{
			Go: command, Cache: sharedCache(t), ModCache: mods,
			Env: append(os.Environ(), "HOME="+home, "GOPRIVATE=example.org", "GOPROXY=off", "GIT_CONFIG_NOSYSTEM=1"),
		})
		b.toolchains["go1.26.8"] = pinned(t)
		w := newSite(t, t.TempDir(), sharedCache(t))
		w.Builders["go"] = b
		if _, err := w.build(t.Context(), dir, app, "linux/amd64"); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		at := filepath.Join(mods, name+"@"+version)
		if text, err := os.ReadFile(filepath.Join(at, "word.go")); err != nil || string(text) != files["word.go"] {
			t.Errorf("%s: %q, %v", command, text, err)
		}
	}
}

// pinned returns the folder of the toolchain go1.26.8.
func pinned(t *testing.T) string {
	t.Helper()
	b := New(Options{})
	h, err := b.machine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	root, err := b.toolchain(t.Context(), h, "go1.26.8", t.TempDir(), func(builder.Step, string) {})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Nobody in a cell has modules fetched, with the operator's logins, that the commit does not name.
func TestS4OnlyWhatGoSumNamesIsBrought(t *testing.T) {
	cache := t.TempDir()
	edit(t, cache, map[string]string{"cache/download/example.org/named/@v/v1.0.0.mod": "module x\n"})
	m := &modules{
		host: &host{command: filepath.Join(cache, "none"), Go: goEnv{GOMODCACHE: cache}}, dir: cache,
		sums: sums{"example.org/named v1.0.0/go.mod": "h1:x"},
	}
	if file, err := m.file(t.Context(), "example.org/named/@v/v1.0.0.mod"); err != nil || filepath.Base(file) != "v1.0.0.mod" {
		t.Errorf("what is named: %s, %v", file, err)
	}
	for _, request := range []string{
		"example.org/named/@v/v1.0.0.zip", "example.org/named/@v/v1.0.1.mod", "example.org/named/@v/list", "example.org/named/@latest",
		"example.org/other/@v/v1.0.0.mod", "../example.org/named/@v/v1.0.0.mod", "example.org/named/../named/@v/v1.0.0.mod", "/@v/.mod", "",
	} {
		if file, err := m.file(t.Context(), request); !errors.Is(err, errNotNamed) {
			t.Errorf("%q: %s, %v", request, file, err)
		}
	}
}

// A build from nothing compares the modules that it uses with go.sum.
func TestS2AChangedModuleIsFoundByARebuild(t *testing.T) {
	cache := t.TempDir()
	edit(t, cache, map[string]string{"example.org/a@v1.0.0/a.go": "package a\n"})
	at := filepath.Join(cache, "example.org/a@v1.0.0")
	sum, err := dirhash.HashDir(at, "example.org/a@v1.0.0", dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	c := compile{
		host: &host{Go: goEnv{GOMODCACHE: cache}}, settings: settings{Dir: "."},
		job: builder.Job{Fresh: true, ReadFile: func(context.Context, string) ([]byte, error) {
			return []byte("example.org/a v1.0.0 " + sum + "\n"), nil
		}},
	}
	list := map[module.Version]string{{Path: "example.org/a", Version: "v1.0.0"}: at}
	if err := c.verify(t.Context(), list); err != nil {
		t.Error(err)
	}
	edit(t, cache, map[string]string{"example.org/a@v1.0.0/a.go": "package b\n"})
	if err := c.verify(t.Context(), list); errs.KindOf(err) != errs.Untrusted || errs.HintOf(err) == "" {
		t.Errorf("changed: %v", err)
	}
}

// The standard library is compiled once for all applications, and nothing of one is in what another
// gets: a copy, of which the original never changes but by the Go of a release alone.
func TestS2TheStandardLibraryIsCompiledOnce(t *testing.T) {
	caches := t.TempDir()
	entries := func(dir string) map[string]os.FileInfo {
		list := map[string]os.FileInfo{}
		err := filepath.WalkDir(filepath.Join(caches, dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, "-a") {
				list[d.Name()], err = d.Info()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	first, used := map[string]os.FileInfo(nil), []time.Duration(nil)
	for _, name := range []string{"one", "two"} {
		dir := t.TempDir()
		git(t, dir, "init", "-q", "-b", "main")
		edit(t, dir, map[string]string{"go.mod": plainMod, "main.go": "package main\n\nfunc main() { println(\"" + name + "\") }\n"})
		git(t, dir, "add", "-A")
		git(t, dir, "commit", "-q", "-m", name)
		w := newSite(t, t.TempDir(), caches)
		named := *app
		named.Name = name
		before := processorTime(t)
		if _, err := w.build(t.Context(), dir, &named, "linux/amd64"); err != nil {
			t.Fatal(err)
		}
		used = append(used, processorTime(t)-before)
		owner, err := ownedBy(caches)
		if err != nil || len(owner) == 0 {
			t.Fatal(owner, err)
		}
		seed := entries("std")
		if first == nil {
			first = seed
		} else if len(seed) != len(first) {
			t.Errorf("%d compiled packages for all after %s, %d before", len(seed), name, len(first))
		}
		for _, id := range owner {
			own, inSeed := entries(id), 0
			for entry, info := range own {
				if at := seed[entry]; at != nil {
					inSeed++
					if os.SameFile(at, info) {
						t.Fatalf("%s is the same file for all", entry)
					}
				}
			}
			if inSeed < len(seed) || len(seed) < 40 {
				t.Errorf("%s has %d of the %d entries for all", name, inSeed, len(seed))
			}
		}
	}
	if used[1] > used[0]/3 {
		t.Errorf("the first build took %v of a processor, another application's %v", used[0], used[1])
	}
	t.Log(used)
}

// processorTime returns what the processes that this one has started have used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ownedBy returns the folders of applications in caches.
func ownedBy(caches string) (list []string, _ error) {
	all, err := os.ReadDir(caches)
	for _, d := range all {
		if d.IsDir() && d.Name() != seeds {
			list = append(list, d.Name())
		}
	}
	return list, err
}
