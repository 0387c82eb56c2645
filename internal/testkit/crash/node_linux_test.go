package crash_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/agent"
	"overland/internal/agent/follow"
	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/runtime"
	"overland/internal/testkit/crash"
	"overland/internal/testkit/publisher"
)

// The whole way of an installation under crashes: volume → trust → depot →
// generation → switch → services.

const envWorld = "OVERLAND_CRASH_WORLD" // the folder of a world that the parent made for its children

const v1, v2, v3 = "r1.aaaaaaaaaaaa", "r2.bbbbbbbbbbbb", "r3.cccccccccccc"

// world is an operator's volumes, in a folder: one.volume, two.volume,
// broken.volume and the root's fingerprint.
type world string

// newWorld returns the parent's world in a child, and makes one in a parent. programs
// are the contents of the three.
func newWorld(t *testing.T, programs [3]string) world {
	t.Helper()
	if dir := os.Getenv(envWorld); dir != "" {
		return world(dir)
	}
	dir := t.TempDir()
	o := publisher.New(t, filepath.Join(dir, "operator"), nil)
	service := appfile.Service{
		Artifact: "node", Runtime: "process", Data: map[string]string{"data": "/data"},
		Stable: appfile.Duration(10 * time.Millisecond), Readiness: appfile.Duration(200 * time.Millisecond), StopTimeout: appfile.Duration(time.Second),
	}
	for i, name := range []string{"one", "two", "broken"} {
		version := []string{v1, v2, v3}[i]
		o.Release("wallet", version, map[string]string{"node": programs[i]}, map[string]appfile.Service{"node": service})
		o.Promote("live", "wallet", version)
		o.Seal("live", filepath.Join(dir, name+".volume"))
	}
	must(t, os.WriteFile(filepath.Join(dir, "root"), []byte(o.Root()), 0o600))
	t.Setenv(envWorld, dir)
	return world(dir)
}

var fakes = [3]string{"up one", "up two", "crash three"}

// install installs the volume name with an agent of its own.
func (w world) install(dir, name string, f fsx.FS, rt runtime.Runtime) (r nodeapi.Report, err error) {
	root, err := os.ReadFile(filepath.Join(string(w), "root"))
	if err != nil {
		return r, err
	}
	a, err := agent.Open(dir, agent.Options{Runtimes: runtime.Set{"process": rt}, Platform: "linux/amd64", FS: f})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	src, done, err := follow.OpenSource(filepath.Join(string(w), name+".volume"))
	if err != nil {
		return r, err
	}
	defer done()
	return a.Install(context.Background(), src, nodeapi.InstallOptions{Root: string(root), Channel: "live", Retry: true})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scenario goes from one ("" = a new node) to another volume.
func (w world) scenario(from, to string, rt func() runtime.Runtime, check func(t testing.TB, dir string, rt runtime.Runtime, completed bool)) crash.Scenario {
	var first string // where from was installed once; each point begins with a copy of it
	return crash.Scenario{
		Prepare: func(t testing.TB, dir string) {
			switch _, copies := rt().(*publisher.Machine); {
			case from == "":
			case !copies: // processes belong to their folder
				_, err := w.install(dir, from, fsx.FS{}, rt())
				must(t, err)
			default:
				if first == "" {
					first = filepath.Join(t.TempDir(), "first")
					_, err := w.install(first, from, fsx.FS{}, rt())
					must(t, err)
				}
				if out, err := exec.Command("cp", "-a", first+"/.", dir).CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
		},
		Run: func(dir string, f fsx.FS) error {
			_, err := w.install(dir, to, f, rt())
			if to == "broken" && errs.KindOf(err) == errs.Partial {
				err = nil
			}
			return err
		},
		Check: func(t testing.TB, dir string, completed bool) { check(t, dir, rt(), completed) },
	}
}

// look runs the next agent on what is left, until it has decided, and
// returns the version that runs.
func look(t testing.TB, dir string, rt runtime.Runtime) (version string) {
	t.Helper()
	empty(t, dir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ready := make(chan struct{})
	a, err := agent.Open(dir, agent.Options{Runtimes: runtime.Set{"process": rt}, Platform: "linux/amd64", Ready: func() { close(ready) }})
	if err != nil {
		t.Errorf("open what is left: %v", err)
		return ""
	}
	defer a.Close()
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	<-ready
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	s := a.Status()
	for ; s.Trial != nil && ctx.Err() == nil; s = a.Status() {
		<-tick.C
	}
	if ctx.Err() != nil {
		t.Errorf("stuck: %+v", s)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("run what is left: %v", err)
	}
	if len(s.Problems) > 0 {
		t.Errorf("a crash is reported as damage: %q", s.Problems)
	}
	if s.Generation != s.Good {
		t.Errorf("generation %d runs, %d is good", s.Generation, s.Good)
	}
	for _, app := range s.Apps {
		version = app.Version
	}
	return version
}

// empty fails when a program of a generation has no bytes.
func empty(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "gen"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() || strings.Contains(path, ".tmp") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() == 0 {
			t.Errorf("%s has no bytes", path)
		}
		return err
	})
	must(t, err)
}

// oldOrNew returns a check that the node runs one of versions, and that it can go on to two.
func (w world) oldOrNew(versions ...string) func(testing.TB, string, runtime.Runtime, bool) {
	programs := map[string]string{v1: fakes[0], v2: fakes[1], v3: fakes[2]}
	return func(t testing.TB, dir string, rt runtime.Runtime, completed bool) {
		t.Helper()
		m := rt.(*publisher.Machine)
		got := look(t, dir, m)
		if !slices.Contains(versions, got) {
			t.Errorf("runs %q, want one of %q", got, versions)
		}
		if completed && got != versions[len(versions)-1] {
			t.Errorf("the completed scenario runs %q", got)
		}
		want := []string{}
		if got != "" {
			want = []string{"wallet.node: " + programs[got]}
		}
		if r := m.Running(); !slices.Equal(r, want) {
			t.Errorf("the services are %q, want %q", r, want)
		}
		if slices.Contains(versions, v3) || !slices.Contains(versions, v2) {
			return // a newer volume than two was seen
		}
		if _, err := w.install(dir, "two", fsx.FS{}, m); err != nil {
			t.Errorf("install two afterwards: %v", err)
		}
		if r := m.Running(); !slices.Equal(r, []string{"wallet.node: " + programs[v2]}) {
			t.Errorf("after installing two the services are %q", r)
		}
	}
}

func fake() runtime.Runtime { return &publisher.Machine{} }

// shm keeps what is synced again and again, but never loses its power, off the disk.
func shm(t *testing.T) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm")
	}
}

func TestKillFirstInstall(t *testing.T) {
	shm(t)
	w := newWorld(t, fakes)
	crash.Kill(t, w.scenario("", "two", fake, w.oldOrNew("", v2)))
}

func TestKillUpgrade(t *testing.T) {
	shm(t)
	w := newWorld(t, fakes)
	crash.Kill(t, w.scenario("one", "two", fake, w.oldOrNew(v1, v2)))
}

func TestKillBrokenUpgrade(t *testing.T) {
	shm(t)
	w := newWorld(t, fakes)
	crash.Kill(t, w.scenario("one", "broken", fake, w.oldOrNew(v1)))
}

func TestPowerCutFirstInstall(t *testing.T) {
	w := newWorld(t, fakes)
	crash.PowerCut(t, w.scenario("", "two", fake, w.oldOrNew("", v2)), 24<<20)
}

func TestPowerCutUpgrade(t *testing.T) {
	w := newWorld(t, fakes)
	crash.PowerCut(t, w.scenario("one", "two", fake, w.oldOrNew(v1, v2)), 24<<20)
}

func TestPowerCutBrokenUpgrade(t *testing.T) {
	w := newWorld(t, fakes)
	crash.PowerCut(t, w.scenario("one", "broken", fake, w.oldOrNew(v1)), 24<<20)
}
