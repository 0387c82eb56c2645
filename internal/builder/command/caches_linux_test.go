package command_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/builder/command"
	"overland/internal/builder/golang"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/source"
	storedir "overland/internal/store/dir"
)

// site builds with both builders, as an operator does.
type site struct {
	*testing.T
	dir   string
	depot *storedir.Store
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	return &site{t, dir, depot}
}

func (s *site) build(repo string, app *appfile.App, fresh bool) (builder.Built, error) {
	s.Helper()
	r, err := source.Open(s.Context(), repo)
	if err != nil {
		s.Fatal(err)
	}
	c, err := r.Resolve(s.Context(), "")
	if err != nil {
		s.Fatal(err)
	}
	built, err := builder.Run(s.Context(), s.depot, builder.Request{
		Repo: r, Commit: c, App: app, Platforms: []platform.Platform{"linux/amd64"}, Cache: filepath.Join(s.dir, "cache"),
		Builders: map[string]builder.Builder{
			golang.Key: golang.New(golang.Options{Cache: filepath.Join(s.dir, "cache", "go-build")}),
			command.Key: command.New(command.Options{
				Store: s.depot, Sessions: filepath.Join(s.dir, "sessions"), Caches: filepath.Join(s.dir, "cache", "command"),
			}),
		},
		Rebuild: fresh, Fresh: fresh,
	})
	if err != nil {
		return builder.Built{}, err
	}
	return built[0], nil
}

func (s *site) must(repo string, app *appfile.App) builder.Built {
	s.Helper()
	b, err := s.build(repo, app, false)
	if err != nil {
		s.Fatal(err)
	}
	return b
}

func (s *site) bytes(b builder.Built) []byte {
	s.Helper()
	blob, err := s.depot.Open(s.Context(), b.Digest)
	if err != nil {
		s.Fatal(err)
	}
	defer blob.Close()
	content, err := io.ReadAll(blob)
	if err != nil {
		s.Fatal(err)
	}
	return content
}

// poison replaces a word in everything that was compiled below dir, as the script below does.
func poison(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "-d") {
			return err
		}
		b, err := os.ReadFile(path)
		return errors.Join(err, os.WriteFile(path, bytes.ReplaceAll(b, []byte("tea is served"), []byte("PWNDis served")), 0o600))
	})
	if err != nil {
		t.Fatal(err)
	}
}

const poisoning = `mkdir out; find "$GOCACHE" "$GOCACHE/.." -name '*-d' -exec sed -i 's/tea is served/PWNDis served/' {} +; echo done >out/app`

func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	commit(t, dir, files)
	return dir
}

func commit(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "x")
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// A build script gets no cache from which another application is compiled; and when a cache was
// changed nevertheless, a rebuild starts without it and says where the result differs.
func TestS2NoCacheCrossesAnApplication(t *testing.T) {
	s := newSite(t)
	house := map[string]string{
		"go.mod": "module example.org/house\n\ngo 1.26.0\n\ntoolchain go1.26.8\n", "main.go": "package main\n\nimport \"example.org/house/lib\"\n\nfunc main() { println(lib.Word()) }\n",
		"lib/lib.go": "package lib\n\n//go:noinline\nfunc Word() string { return \"tea is served\" }\n",
	}
	repo := repository(t, house)
	app := &appfile.App{Name: "house", Artifacts: map[string]appfile.Artifact{"house": {Builder: golang.Key, Settings: &golang.Program{Package: "."}}}}
	s.must(repo, app)

	evil := repository(t, map[string]string{"overland.lock": "overland.lock 1\n"})
	s.must(evil, &appfile.App{Name: "evil", Artifacts: map[string]appfile.Artifact{
		"app": {Builder: command.Key, Settings: &command.Command{Run: []string{"sh", "-c", poisoning}, Output: "out/app"}},
	}})

	next := func(word string) {
		commit(t, repo, map[string]string{"main.go": strings.Replace(house["main.go"], "lib.Word()", "lib.Word(), \""+word+"\"", 1)})
	}
	next("two")
	two := s.must(repo, app)
	if content := s.bytes(two); bytes.Contains(content, []byte("PWND")) || !bytes.Contains(content, []byte("tea is served")) {
		t.Error("a script changed what another application is built to")
	}

	poison(t, filepath.Join(s.dir, "cache", "go-build"))
	next("three")
	if three := s.must(repo, app); !bytes.Contains(s.bytes(three), []byte("PWND")) {
		t.Fatal("the cache was not used, so this test shows nothing")
	}
	_, err := s.build(repo, app, true)
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "in section .rodata") {
		t.Errorf("a rebuild with a changed cache: %v", err)
	}
}

// What a command leaves in its cache is for the next build of the same repository, and for no other:
// not for a fork, which has its name and its first commit.
func TestS2ACommandsCacheIsForItsRepository(t *testing.T) {
	s := newSite(t)
	const script = `mkdir out; ls "$GOCACHE" | tr '\n' ' ' >out/app; echo . >>out/app; echo x >"$GOCACHE/$OVERLAND_VERSION"`
	app := func(name string) *appfile.App {
		return &appfile.App{Name: name, Artifacts: map[string]appfile.Artifact{
			"app": {Builder: command.Key, Settings: &command.Command{Run: []string{"sh", "-c", script}, Output: "out/app"}},
		}}
	}
	repo := repository(t, map[string]string{"overland.lock": "overland.lock 1\n"})
	first := s.must(repo, app("a"))
	if got := string(s.bytes(first)); got != ".\n" {
		t.Errorf("the first build finds %q", got)
	}
	fork := filepath.Join(t.TempDir(), "fork")
	git(t, repo, "clone", "-q", repo, fork)
	for dir, name := range map[string]string{repo: "a", fork: "a"} {
		commit(t, dir, map[string]string{"more": dir})
		want := ".\n"
		if dir == repo {
			want = "r1." // what the first build left
		}
		if got := string(s.bytes(s.must(dir, app(name)))); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// Another name of the same repository is another application.
	if got := string(s.bytes(s.must(repo, app("b")))); got != ".\n" {
		t.Errorf("another application finds %q", got)
	}
	if b, err := s.build(repo, app("b"), true); err != nil || string(s.bytes(b)) != ".\n" {
		t.Errorf("a rebuild finds %v, %v", b, err)
	}
}

// A command may read anything of its commit: what the commit does not hold is an error by name, and
// a name of any bytes is in its copy.
func TestS9ACommandHasAllOfItsCommit(t *testing.T) {
	s := newSite(t)
	app := &appfile.App{Name: "a", Artifacts: map[string]appfile.Artifact{
		"app": {Builder: command.Key, Settings: &command.Command{Run: []string{"sh", "-c", "mkdir out; cat caf*/*.txt >out/app; ls -A >>out/app"}, Output: "out/app"}},
	}}
	repo := repository(t, map[string]string{"overland.lock": "overland.lock 1\n", "caf\xe9/\xff.txt": "any bytes\n"})
	if err := os.Symlink("/etc/passwd", filepath.Join(repo, "passwd")); err != nil {
		t.Fatal(err)
	}
	commit(t, repo, nil)
	got := string(s.bytes(s.must(repo, app)))
	if !strings.HasPrefix(got, "any bytes\n") || strings.Contains(got, "passwd") {
		t.Errorf("%q", got)
	}
	commit(t, repo, map[string]string{"video.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"})
	if _, err := s.build(repo, app, false); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "video.bin is a Git LFS pointer") || errs.HintOf(err) == "" {
		t.Errorf("a pointer: %v", err)
	}
	git(t, repo, "rm", "-q", "video.bin")
	git(t, repo, "update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",third")
	git(t, repo, "commit", "-q", "-m", "x")
	if _, err := s.build(repo, app, false); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "third is a submodule") {
		t.Errorf("a submodule: %v", err)
	}
}
