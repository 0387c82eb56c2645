package builder

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
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
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

func (f *fake) Recipe(ctx context.Context, j Job) (Recipe, error) {
	b, err := j.ReadFile(ctx, "settings")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Recipe{}, err
	}
	return Recipe{Builder: "fake/1", Toolchain: "fake1.0", Host: f.host, Settings: map[string]string{
		"package":  j.Artifact.Settings.(string),
		"settings": strings.ReplaceAll(string(b), "{{.Version}}", j.Commit.Version),
	}}, nil
}

func (f *fake) Build(ctx context.Context, j Job, r Recipe, src, scratch string) (Output, error) {
	f.calls.Add(1)
	if f.during != nil {
		if err := f.during(ctx, src); err != nil {
			return Output{}, err
		}
	}
	b, err := os.ReadFile(filepath.Join(src, "main"))
	if err != nil {
		return Output{}, err
	}
	file := filepath.Join(scratch, "program")
	content := fmt.Sprintf("%s %s %v", b, j.Platform, r.Settings)
	return Output{File: file, Toolchain: r.Toolchain}, os.WriteFile(file, []byte(content), 0o600)
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
func (s *site) request(dir string, a *appfile.App) Request {
	s.t.Helper()
	repo, err := source.Open(s.t.Context(), dir)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := repo.Resolve(s.t.Context(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	return Request{Repo: repo, Commit: c, App: a, Builders: map[string]Builder{"go": s.fake}, Cache: filepath.Join(s.dir, "cache")}
}

func (s *site) build(req Request) []Built {
	s.t.Helper()
	got, err := Run(s.t.Context(), s.depot, req)
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
	_, err := Run(t.Context(), s.depot, req)
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
	got := make([][]Built, 6)
	for i := range got {
		wg.Go(func() { got[i], _ = Run(t.Context(), s.depot, req) })
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

func TestCancelWhileAnotherBuilds(t *testing.T) {
	s := newSite(t)
	c := cache{dir: filepath.Join(s.dir, "cache", "builds")}
	key := digest.Of([]byte("x"))
	held, err := c.lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.lock(ctx, key); errs.KindOf(err) != errs.Cancelled {
		t.Errorf("error %v, want Cancelled", err)
	}
}

func TestFailureNamesTheJobAndStopsTheRest(t *testing.T) {
	s := newSite(t)
	broken := errs.Errorf(errs.Invalid, "it does not compile")
	s.fake.during = func(context.Context, string) error { return broken }
	req := s.request(repository(t, map[string]string{"main": "1"}), app("a"))
	_, err := Run(t.Context(), s.depot, req)
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
		change func(*Request)
		kind   errs.Kind
	}{
		"unknown artifact": {func(r *Request) { r.Artifacts = []string{"b"} }, errs.NotFound},
		"other platforms":  {func(r *Request) { r.Platforms = []platform.Platform{"linux/amd64"} }, errs.Invalid},
		"no builder":       {func(r *Request) { r.Builders = nil }, errs.Invalid},
	} {
		req := s.request(dir, only)
		test.change(&req)
		if _, err := Run(t.Context(), s.depot, req); errs.KindOf(err) != test.kind {
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
		inner.App, inner.Builders = app("inner"), map[string]Builder{"go": &fake{}}
		_, err := Run(ctx, s.depot, inner) // sweeps while this one lives
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

// TestRecordSurvivesACrash stops after every change of the disk: a record is whole or not there.
func TestRecordSurvivesACrash(t *testing.T) {
	key := digest.Of([]byte("recipe"))
	blob := digest.Of([]byte("blob"))
	want := record{Digest: blob, Size: 4, Toolchain: "go1.26.8"}
	crash := errors.New("crash")
	for stop := 1; ; stop++ {
		n := 0
		c := cache{dir: t.TempDir(), fs: fsx.FS{Before: func(fsx.Op) error {
			if n++; n >= stop {
				return crash
			}
			return nil
		}}}
		err := c.put(key, want)
		b, readErr := os.ReadFile(c.path(key))
		got, ok := readRecord(b, func(digest.Digest) (int64, error) { return 4, nil })
		switch {
		case err == nil && (!ok || !cmp.Equal(got, want)):
			t.Fatalf("written, but got %+v, %v", got, ok)
		case err == nil:
			if stop < 5 {
				t.Fatalf("only %d changes of the disk: the hook is not used", stop-1)
			}
			return
		case readErr == nil && !ok:
			t.Errorf("after %d changes: a half record %q", stop-1, b)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"digest":"sha256:` + strings.Repeat("a", 64) + `","size":1,"toolchain":"go1.26.8","inputs":{"recipe":{"settings":[1]}}}`))
	f.Add([]byte(`{"digest":"sha256:../..","size":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		asked := digest.Digest("")
		r, ok := readRecord(b, func(d digest.Digest) (int64, error) { asked = d; return 1, nil })
		if _, err := digest.Parse(string(r.Digest)); ok && (err != nil || asked != r.Digest || r.Size != 1) {
			t.Errorf("accepted %+v", r)
		}
	})
}
