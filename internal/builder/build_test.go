package builder_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/source"
	storedir "overland/internal/store/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Builder whose program is its recipe and the file "main" of the checkout.
type fake struct {
	calls  atomic.Int64
	host   *platform.Host
	during func(ctx context.Context, src string) error
}

func (f *fake) Recipe(ctx context.Context, j builder.Job) (builder.Recipe, error) {
	b, err := j.ReadFile(ctx, "settings")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return builder.Recipe{}, err
	}
	return builder.Recipe{Builder: "fake/1", Toolchain: "fake1.0", Host: f.host, Settings: map[string]string{
		"package":  j.Artifact.Settings.(string),
		"settings": strings.ReplaceAll(string(b), "{{.Version}}", j.Commit.Version),
	}}, nil
}

func (f *fake) Build(ctx context.Context, j builder.Job, r builder.Recipe, src, scratch string) (builder.Output, error) {
	f.calls.Add(1)
	if f.during != nil {
		if err := f.during(ctx, src); err != nil {
			return builder.Output{}, err
		}
	}
	b, err := os.ReadFile(filepath.Join(src, "main"))
	if err != nil {
		return builder.Output{}, err
	}
	file := filepath.Join(scratch, "program")
	content := fmt.Sprintf("%s %s %v", b, j.Platform, r.Settings)
	return builder.Output{File: file, Toolchain: r.Toolchain}, os.WriteFile(file, []byte(content), 0o600)
}

// site is a cache, a depot and a fake builder.
type site struct {
	t     *testing.T
	dir   string
	depot *storedir.Store
	fake  *fake
}

func newSite(t *testing.T) *site {
	dir := t.TempDir()
	d, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &site{t: t, dir: dir, depot: d, fake: &fake{}}
}

func app(names ...string) *appfile.App {
	a := &appfile.App{Name: "app", Artifacts: map[string]appfile.Artifact{}}
	for _, name := range names {
		a.Artifacts[name] = appfile.Artifact{Builder: "go", Settings: "./" + name}
	}
	return a
}

// request is for HEAD of the repository dir.
func (s *site) request(dir string, a *appfile.App) builder.Request {
	s.t.Helper()
	repo, err := source.Open(s.t.Context(), dir)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := repo.Resolve(s.t.Context(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	return builder.Request{Repo: repo, Commit: c, App: a, Builders: map[string]builder.Builder{"go": s.fake}, Cache: filepath.Join(s.dir, "cache")}
}

func (s *site) build(req builder.Request) []builder.Built {
	s.t.Helper()
	got, err := builder.Run(s.t.Context(), s.depot, req)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// calls returns how often the builder was asked since the last call.
func (s *site) calls() int64 { return s.fake.calls.Swap(0) }

func repository(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	commit(t, dir, files)
	return dir
}

func commit(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "--allow-empty", "-m", "x")
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func TestWarmBuildDoesNoWork(t *testing.T) {
	s := newSite(t)
	dir := repository(t, map[string]string{"main": "1"})
	var steps []string
	req := s.request(dir, app("b", "a"))
	req.Progress = func(e progress.Event) { steps = append(steps, strings.Fields(e.Note)[0]) }
	cold := s.build(req)
	if len(cold) != 10 || cold[0].Name != "a" || cold[0].Platform != "linux/amd64" || cold[9].Name != "b" || cold[9].Platform != "linux/arm64" {
		t.Fatalf("got %+v", cold)
	}
	if n := s.calls(); n != 10 || strings.Count(strings.Join(steps, " "), "checkout") != 1 {
		t.Errorf("cold: %d calls, steps %v", n, steps)
	}
	steps = nil
	warm := s.build(req)
	if n := s.calls(); n != 0 || strings.Join(steps, " ") != strings.TrimSpace(strings.Repeat("cached ", 10)) {
		t.Errorf("warm: %d calls, steps %v", n, steps)
	}
	for i := range cold {
		if warm[i].Cached = !warm[i].Cached; !cmp.Equal(cold[i], warm[i]) {
			t.Errorf("warm %+v, cold %+v", warm[i], cold[i])
		}
	}
	if left, _ := os.ReadDir(filepath.Join(s.dir, "cache", "work")); len(left) != 1 { // the lock
		t.Errorf("left behind: %v", left)
	}
}

// A build that takes long is heard of.
func TestABuildThatTakesLong(t *testing.T) {
	s := newSite(t)
	req := s.request(repository(t, map[string]string{"main": "1"}), app("a"))
	req.Platforms, req.Still = []platform.Platform{"linux/amd64"}, 1
	heard := make(chan struct{}, 1)
	req.Progress = func(e progress.Event) {
		if strings.HasPrefix(e.Note, "checkout since ") && !e.End {
			select {
			case heard <- struct{}{}:
			default:
			}
		}
	}
	s.fake.during = func(ctx context.Context, _ string) error {
		select {
		case <-heard:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.build(req)
}

func TestWhatMakesAnotherResult(t *testing.T) {
	s := newSite(t)
	dir := repository(t, map[string]string{"main": "1"})
	one := func() digest.Digest {
		req := s.request(dir, app("a"))
		req.Platforms = []platform.Platform{"linux/amd64"}
		return s.build(req)[0].Digest
	}
	first := one()
	commit(t, dir, nil)
	if one() != first || s.calls() != 1 {
		t.Error("another commit with the same files was built again")
	}
	commit(t, dir, map[string]string{"settings": "{{.Version}}"})
	second := one()
	if second == first || s.calls() != 1 {
		t.Error("other files were not built")
	}
	commit(t, dir, nil)
	if one() == second || s.calls() != 1 {
		t.Error("another version, which the recipe uses, was not built")
	}
}

func TestRecordsThatDoNotCount(t *testing.T) {
	s := newSite(t)
	dir := repository(t, map[string]string{"main": "1"})
	req := s.request(dir, app("a"))
	req.Platforms = []platform.Platform{"linux/amd64"}
	want := s.build(req)[0].Digest
	records, err := filepath.Glob(filepath.Join(s.dir, "cache", "builds", "*", "*.json"))
	if err != nil || len(records) != 1 {
		t.Fatalf("records %v, %v", records, err)
	}
	intact, err := os.ReadFile(records[0])
	if err != nil {
		t.Fatal(err)
	}
	other := digest.Of([]byte("other"))
	for name, spoil := range map[string]func() error{
		"no blob": func() error { return s.depot.Remove(t.Context(), want) },
		"empty":   func() error { return os.WriteFile(records[0], nil, 0o600) },
		"half":    func() error { return os.WriteFile(records[0], intact[:len(intact)/2], 0o600) },
		"garbage": func() error { return os.WriteFile(records[0], bytes.Repeat([]byte{0xff}, 1<<20), 0o600) },
		"other size": func() error {
			return os.WriteFile(records[0], bytes.Replace(intact, []byte(`"size": `), []byte(`"size": 1`), 1), 0o600)
		},
		"other digest": func() error {
			return os.WriteFile(records[0], bytes.Replace(intact, []byte(want), []byte(other), 1), 0o600)
		},
		"no digest": func() error {
			return os.WriteFile(records[0], bytes.Replace(intact, []byte(want), []byte("../../x"), 1), 0o600)
		},
	} {
		s.calls()
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if got := s.build(req)[0]; got.Digest != want || got.Cached || s.calls() != 1 {
			t.Errorf("%s: got %+v", name, got)
		}
		if got := s.build(req)[0]; !got.Cached {
			t.Errorf("%s: not mended", name)
		}
	}
}

func TestRebuild(t *testing.T) {
	s := newSite(t)
	req := s.request(repository(t, map[string]string{"main": "1"}), app("a"))
	req.Platforms, req.Rebuild = []platform.Platform{"linux/amd64"}, true
	first := s.build(req)[0]
	if again := s.build(req)[0]; again.Digest != first.Digest || again.Cached || s.calls() != 2 {
		t.Errorf("%+v, first %+v", again, first)
	}
	s.fake.during = func(_ context.Context, src string) error {
		return os.WriteFile(filepath.Join(src, "main"), []byte("2"), 0o600)
	}
	_, err := builder.Run(t.Context(), s.depot, req)
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "built before "+string(first.Digest)+", now sha256:") {
		t.Errorf("another result: %v", err)
	}
	req.Rebuild = false
	if got := s.build(req)[0]; got.Digest != first.Digest || !got.Cached {
		t.Errorf("the first result was replaced: %+v", got)
	}
}

func TestOneBuildsAndTheOthersWait(t *testing.T) {
	s := newSite(t)
	req := s.request(repository(t, map[string]string{"main": "1"}), app("a"))
	req.Platforms, req.Parallel = []platform.Platform{"linux/amd64", "linux/arm64"}, 2
	var wg sync.WaitGroup
	got := make([][]builder.Built, 6)
	for i := range got {
		wg.Go(func() { got[i], _ = builder.Run(t.Context(), s.depot, req) })
	}
	wg.Wait()
	if n := s.calls(); n != 2 {
		t.Errorf("%d builds, want 2", n)
	}
	for _, g := range got {
		if len(g) != 2 || g[0].Digest != got[0][0].Digest || g[1].Digest != got[0][1].Digest {
			t.Errorf("got %+v", g)
		}
	}
}

func TestFailureNamesTheJobAndStopsTheRest(t *testing.T) {
	s := newSite(t)
	broken := errs.Errorf(errs.Invalid, "it does not compile")
	s.fake.during = func(context.Context, string) error { return broken }
	req := s.request(repository(t, map[string]string{"main": "1"}), app("a"))
	_, err := builder.Run(t.Context(), s.depot, req)
	if err == nil || err.Error() != "build a for linux/amd64: it does not compile" || errs.KindOf(err) != errs.Invalid || s.calls() != 1 {
		t.Errorf("error %v, %d calls", err, s.calls())
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "cache", "*", "build-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNothingToBuild(t *testing.T) {
	s := newSite(t)
	dir := repository(t, map[string]string{"main": "1"})
	only := app("a")
	only.Artifacts["a"] = appfile.Artifact{Builder: "go", Settings: ".", Platforms: []platform.Platform{"linux/arm64"}}
	for name, test := range map[string]struct {
		change func(*builder.Request)
		kind   errs.Kind
	}{
		"unknown artifact": {func(r *builder.Request) { r.Artifacts = []string{"b"} }, errs.NotFound},
		"other platforms":  {func(r *builder.Request) { r.Platforms = []platform.Platform{"linux/amd64"} }, errs.Invalid},
		"no builder":       {func(r *builder.Request) { r.Builders = nil }, errs.Invalid},
	} {
		req := s.request(dir, only)
		test.change(&req)
		if _, err := builder.Run(t.Context(), s.depot, req); errs.KindOf(err) != test.kind {
			t.Errorf("%s: %v, want %v", name, err, test.kind)
		}
	}
	if got := s.build(s.request(dir, only)); len(got) != 1 || got[0].Platform != "linux/arm64" {
		t.Errorf("got %+v", got)
	}
}

func TestWhatAKilledBuildLeftIsRemoved(t *testing.T) {
	s := newSite(t)
	dead := filepath.Join(s.dir, "cache", "work", "build-dead", "src", "closed")
	if err := os.MkdirAll(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dead, 0o500); err != nil {
		t.Fatal(err)
	}
	req := s.request(repository(t, map[string]string{"main": "1"}), app("a"))
	req.Platforms = []platform.Platform{"linux/amd64"}
	s.fake.during = func(ctx context.Context, src string) error {
		inner := req
		inner.App, inner.Builders = app("inner"), map[string]builder.Builder{"go": &fake{}}
		_, err := builder.Run(ctx, s.depot, inner) // sweeps while this one lives
		if _, lost := os.Stat(filepath.Join(src, "main")); lost != nil {
			t.Errorf("a living build was swept: %v", lost)
		}
		return err
	}
	s.build(req)
	if _, err := os.Stat(filepath.Join(s.dir, "cache", "work", "build-dead")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead one is still there: %v", err)
	}
}

// A build of several programs says how far it is.
func TestProgressCounts(t *testing.T) {
	s := newSite(t)
	req := s.request(repository(t, map[string]string{"main": "1"}), app("a", "b"))
	req.Platforms = []platform.Platform{"linux/amd64"}
	var ended []string
	req.Progress = func(e progress.Event) {
		if e.End {
			ended = append(ended, e.What+": "+e.Note)
		}
	}
	s.build(req)
	if got, want := strings.Join(ended, "\n"), "a for linux/amd64: done fake1.0 (1 of 2)\nb for linux/amd64: done fake1.0 (2 of 2)"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}
