package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"overland/internal/agent"
	"overland/internal/agent/control"
	"overland/internal/agent/follow"
	"overland/internal/agent/node"
	"overland/internal/agent/stage"
	"overland/internal/appfile"
	"overland/internal/confine"
	"overland/internal/deflate"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/runtime"
	"overland/internal/testkit/publisher"
	"overland/internal/volume"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Verb {
		confine.Main() // the keeper of a real service
	}
	// What is synced thousands of times need not reach a real disk here;
	// crash tests that need one make it.
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		os.Setenv("TMPDIR", "/dev/shm")
	}
	goleak.VerifyTestMain(m)
}

const v1, v2, v3 = "r1.aaaaaaaaaaaa", "r2.bbbbbbbbbbbb", "r3.cccccccccccc"

// quick is a service that proves itself by staying up for a moment.
var quick = appfile.Service{
	Artifact: "node", Runtime: "process", Stable: appfile.Duration(time.Millisecond), Readiness: appfile.Duration(300 * time.Millisecond), Data: map[string]string{"data": "/data"},
	Args: []string{"--data", "{{.Volumes.data}}"},
}

func services(s appfile.Service) map[string]appfile.Service {
	return map[string]appfile.Service{"node": s}
}

// world is an operator and one machine.
type world struct {
	*publisher.Operator
	*publisher.Machine
	t   *testing.T
	dir string
	o   agent.Options
}

func newWorld(t *testing.T) *world {
	m := &publisher.Machine{}
	return &world{
		Operator: publisher.New(t, t.TempDir(), nil), Machine: m, t: t, dir: filepath.Join(t.TempDir(), "node"),
		o: agent.Options{Runtimes: runtime.Set{"process": m}, Platform: "linux/amd64"},
	}
}

// wallet releases and promotes wallet@version, whose program is what, and returns a volume of it.
func (w *world) wallet(version, what string) string {
	w.t.Helper()
	w.Release("wallet", version, map[string]string{"node": what}, services(quick))
	w.Promote("live", "wallet", version)
	return w.volume(version)
}

func (w *world) volume(name string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), name+".volume")
	w.Seal("live", path)
	return path
}

func (w *world) open() *agent.Agent {
	w.t.Helper()
	a, err := agent.Open(w.dir, w.o)
	must(w.t, err)
	w.t.Cleanup(func() { a.Close() })
	return a
}

// install installs path with an agent of its own.
func (w *world) install(path string, o nodeapi.InstallOptions) (nodeapi.Report, error) {
	w.t.Helper()
	a := w.open()
	defer a.Close()
	src, done, err := follow.OpenSource(path)
	if err != nil {
		return nodeapi.Report{}, err
	}
	defer done()
	return a.Install(context.Background(), src, o)
}

func (w *world) mustInstall(path string) nodeapi.Report {
	w.t.Helper()
	r, err := w.install(path, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	must(w.t, err)
	return r
}

func (w *world) runs(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), w.Running()); diff != "" {
		w.t.Errorf("what runs (-want +got):\n%s", diff)
	}
}

func (w *world) calls(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), append([]string{}, w.Calls()...)); diff != "" {
		w.t.Errorf("starts and stops (-want +got):\n%s", diff)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustUninstall(t testing.TB, a *agent.Agent, purge bool) {
	t.Helper()
	left, err := a.Uninstall(context.Background(), purge)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("uninstall left %v", left)
	}
}

// tree returns every path below dir with its size and time.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			rel, _ := filepath.Rel(dir, path)
			m[rel] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
		}
		return err
	}))
	return m
}

func TestInstallUpgradeRollBack(t *testing.T) {
	w := newWorld(t)
	r := w.mustInstall(w.wallet(v1, "up one"))
	if r.Outcome != nodeapi.Installed || r.Generation != 1 || r.Channel != "live" || r.Freshness.Known || r.Freshness.SignedAt.IsZero() {
		t.Errorf("first report: %+v", r)
	}
	w.runs("wallet.node: up one")
	two := w.wallet(v2, "up two")
	if r = w.mustInstall(two); r.Outcome != nodeapi.Installed || r.Generation != 2 || r.From != 1 {
		t.Errorf("second report: %+v", r)
	}
	w.runs("wallet.node: up two")

	r, err := w.install(w.wallet(v3, "crash three"), nodeapi.InstallOptions{})
	if r.Outcome != nodeapi.RolledBack || r.Generation != 2 || r.Tried != 3 || errs.KindOf(err) != errs.Partial {
		t.Errorf("broken version: %+v, %v", r, err)
	}
	if !strings.HasPrefix(r.Check, "wallet.node: ") || !slices.Contains(r.Log, "this is crash three") || !strings.Contains(r.Reason, "exit code 1") {
		t.Errorf("the report does not say why: %+v", r)
	}
	w.runs("wallet.node: up two")

	w.Calls()
	r, err = w.install(w.volume("again"), nodeapi.InstallOptions{})
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(errs.HintOf(err), "--retry") {
		t.Errorf("the broken version again: %+v, %v", r, err)
	}
	w.calls()
	if r, err = w.install(w.volume("retry"), nodeapi.InstallOptions{Retry: true}); r.Outcome != nodeapi.RolledBack || r.Tried != 4 {
		t.Errorf("with --retry: %+v, %v", r, err)
	}

	a := w.open()
	r, err = a.Rollback(context.Background(), 0)
	if err != nil || r.Outcome != nodeapi.Installed || r.Generation != 1 {
		t.Errorf("roll back: %+v, %v", r, err)
	}
	w.runs("wallet.node: up one")
	st := a.Status()
	if st.Generation != 1 || st.Good != 1 || len(st.Services) != 1 || st.Services[0].State != "running" || len(st.Refused) != 2 {
		t.Errorf("status: %+v", st)
	}
	var what []string
	for _, e := range a.History() {
		what = append(what, fmt.Sprintf("%s %d", e.What, e.Generation))
	}
	want := []string{"switched 1", "good 1", "switched 2", "good 2", "switched 3", "back 2", "switched 4", "back 2", "switched 1", "good 1"}
	if diff := cmp.Diff(want, what); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// What is no program may not be executed, unless the same bytes are a program elsewhere.
func TestDataIsNoProgram(t *testing.T) {
	w := newWorld(t)
	w.Data = []string{"manual", "twin"}
	w.Release("wallet", v1, map[string]string{"node": "up one", "manual": "read me", "twin": "up one"}, services(quick))
	w.Promote("live", "wallet", v1)
	path := w.volume("v1")
	w.mustInstall(path)
	w.mustInstall(path) // what is there is looked at again
	w.runs("wallet.node: up one")
	for name, want := range map[string]fs.FileMode{"node": 0o555, "manual": 0o444, "twin": 0o555} {
		info, err := os.Stat(filepath.Join(w.dir, "current", "bin", "wallet", name))
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s: mode %s, want %s", name, info.Mode(), want)
		}
	}
}

func TestInstallingAgainChangesNothing(t *testing.T) {
	w := newWorld(t)
	path := w.wallet(v1, "up one")
	w.mustInstall(path)
	w.Calls()
	before := tree(t, w.dir)
	r, err := w.install(path, nodeapi.InstallOptions{})
	if err != nil || r.Outcome != nodeapi.Unchanged || r.Generation != 1 {
		t.Errorf("again: %+v, %v", r, err)
	}
	w.calls()
	after := tree(t, w.dir)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the disk changed (-before +after):\n%s", diff)
	}
}

func TestUnchangedServicesAreNotRestarted(t *testing.T) {
	w := newWorld(t)
	both := map[string]appfile.Service{"node": quick, "tool": quick}
	tool := quick
	tool.Artifact = "tool"
	both["tool"] = tool
	w.Release("wallet", v1, map[string]string{"node": "up node", "tool": "up tool"}, both)
	w.Promote("live", "wallet", v1)
	w.mustInstall(w.volume("one"))
	if got := w.Calls(); len(got) != 2 {
		t.Errorf("calls: %v", got)
	}
	w.Release("wallet", v2, map[string]string{"node": "up node", "tool": "up tool 2"}, both)
	w.Promote("live", "wallet", v2)
	w.mustInstall(w.volume("two"))
	w.calls("stop wallet.tool", "start wallet.tool")
	w.Release("wallet", v3, map[string]string{"node": "up node"}, map[string]appfile.Service{"node": quick})
	w.Promote("live", "wallet", v3)
	w.mustInstall(w.volume("three"))
	w.calls("stop wallet.tool")
	w.runs("wallet.node: up node")
}

func TestTheNextAgentAdopts(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	w.Calls()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	w.o.Ready = func() { close(ready) }
	a := w.open()
	ran := make(chan error)
	go func() { ran <- a.Run(ctx) }()
	<-ready
	r, err := control.Call(ctx, w.dir, nodeapi.Request{Op: nodeapi.OpStatus})
	must(t, err)
	if s := r.Status; !s.Running || s.Generation != 1 || s.Services[0].Name != "wallet.node" {
		t.Errorf("status: %+v", s)
	}
	cancel()
	must(t, <-ran)
	must(t, a.Close())
	w.calls()
	w.runs("wallet.node: up one")
	if _, err := control.Call(context.Background(), w.dir, nodeapi.Request{Op: nodeapi.OpStatus}); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a stopped agent answers: %v", err)
	}
	s, err := agent.Peek(w.dir)
	if err != nil || s.Generation != 1 || s.Services[0].State != "unknown" || s.Root != w.Root() {
		t.Errorf("peek: %+v, %v", s, err)
	}
}

func TestDeferredInstallIsDecidedByRun(t *testing.T) {
	w := newWorld(t)
	path := w.wallet(v1, "up one")
	r, err := w.install(path, nodeapi.InstallOptions{Root: w.Root(), Channel: "live", Defer: true})
	if err != nil || r.Outcome != nodeapi.Staged {
		t.Fatalf("defer: %+v, %v", r, err)
	}
	w.calls()
	if r, err = w.install(path, nodeapi.InstallOptions{Defer: true}); err != nil || r.Outcome != nodeapi.Staged || r.Generation != 1 {
		t.Fatalf("defer again: %+v, %v", r, err)
	}
	if r, err = w.install(w.wallet(v2, "up two"), nodeapi.InstallOptions{Defer: true}); err != nil || r.Outcome != nodeapi.Staged || r.Generation != 2 {
		t.Fatalf("defer something newer: %+v, %v", r, err)
	}
	w.running(func(a *agent.Agent) {
		until(t, func() bool { return a.Status().Good == 2 })
	})
	w.runs("wallet.node: up two")
}

// running runs an agent around f.
func (w *world) running(f func(a *agent.Agent)) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready := make(chan struct{})
	w.o.Ready = func() { close(ready) }
	a := w.open()
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	select {
	case <-ready:
	case err := <-ran:
		w.t.Fatalf("the agent ended: %v", err)
	}
	f(a)
	cancel()
	must(w.t, <-ran)
	must(w.t, a.Close())
}

// until waits for cond, at most half a minute.
func until(t testing.TB, cond func() bool) {
	t.Helper()
	end := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("it did not happen within 30 s")
		}
	}
}

func TestControlSocketInstallsAndRollsBack(t *testing.T) {
	w := newWorld(t)
	w.dir = filepath.Join(t.TempDir(), strings.Repeat("a-long-folder-name/", 8), "node") // beyond a socket address
	ctx := context.Background()
	w.running(func(a *agent.Agent) {
		r, err := control.Call(ctx, w.dir, nodeapi.Request{Op: nodeapi.OpInstall, Source: w.wallet(v1, "up one"), Install: &nodeapi.InstallOptions{Root: w.Root(), Channel: "live"}})
		if err != nil || r.Report.Outcome != nodeapi.Installed {
			t.Fatalf("install: %+v, %v", r.Report, err)
		}
		var steps, fetched []string
		r, err = control.CallProgress(ctx, w.dir, nodeapi.Request{Op: nodeapi.OpInstall, Source: w.wallet(v2, "crash two")}, func(p progress.Event) {
			if len(steps) == 0 || steps[len(steps)-1] != p.Step {
				steps = append(steps, p.Step)
			}
			if p.Step == "fetch" && p.What != "" && p.Done == p.Total {
				fetched = append(fetched, p.What)
			}
		})
		if want := []string{"wallet@" + v2 + " node"}; !slices.Equal(fetched, want) {
			t.Errorf("fetched %q, want %q: names that people know", fetched, want)
		}
		if want := "verify fetch verify fetch stage start selftest back selftest"; strings.Join(steps, " ") != want {
			t.Errorf("steps %q, want %q", steps, want)
		}
		if errs.KindOf(err) != errs.Partial || r.Report.Outcome != nodeapi.RolledBack || errs.HintOf(err) == "" {
			t.Errorf("broken: %+v, %v", r.Report, err)
		}
		if _, err = control.Call(ctx, w.dir, nodeapi.Request{Op: nodeapi.OpRollback, Generation: 7}); errs.KindOf(err) != errs.NotFound {
			t.Errorf("roll back to nothing: %v", err)
		}
		if r, err = control.Call(ctx, w.dir, nodeapi.Request{Op: nodeapi.OpLogs, Service: "wallet.node", Lines: 1}); err != nil || len(r.Lines) != 1 {
			t.Errorf("logs: %v, %v", r.Lines, err)
		}
		if r, err = control.Call(ctx, w.dir, nodeapi.Request{Op: nodeapi.OpHistory}); err != nil || len(r.Events) != 4 {
			t.Errorf("history: %v, %v", r.Events, err)
		}
		if _, err = control.Call(ctx, w.dir, nodeapi.Request{Op: "reboot"}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("unknown verb: %v", err)
		}
		if _, err := agent.Open(w.dir, w.o); errs.KindOf(err) != errs.Conflict {
			t.Errorf("a second agent: %v", err)
		}
	})
}

func TestWatchedDirectory(t *testing.T) {
	w := newWorld(t)
	stick := t.TempDir()
	w.o.Watch = 5 * time.Millisecond
	_, err := w.install(w.wallet(v1, "up one"), nodeapi.InstallOptions{Root: w.Root(), Channel: "live", Watch: []string{stick}})
	must(t, err)
	w.running(func(a *agent.Agent) {
		must(t, os.WriteFile(filepath.Join(stick, "junk.volume"), []byte("this is no volume"), 0o644))
		until(t, func() bool { l := a.Status().Last; return l != nil && l.Error != "" })
		w.Release("wallet", v2, map[string]string{"node": "up two"}, services(quick))
		w.Promote("live", "wallet", v2)
		w.Seal("live", filepath.Join(stick, "two.volume"))
		until(t, func() bool { return a.Status().Good == 2 })
		w.runs("wallet.node: up two")
		must(t, os.RemoveAll(stick)) // the source is gone
		_, err := control.Call(context.Background(), w.dir, nodeapi.Request{Op: nodeapi.OpReload})
		must(t, err)
		w.runs("wallet.node: up two")
	})
}

func TestPartsThatArriveOneByOne(t *testing.T) {
	w := newWorld(t)
	w.o.Watch = 5 * time.Millisecond
	stick := t.TempDir()
	_, err := w.install(w.wallet(v1, "up one"), nodeapi.InstallOptions{Root: w.Root(), Channel: "live", Watch: []string{stick}})
	must(t, err)
	w.Release("wallet", v2, map[string]string{"node": "up two" + strings.Repeat(" padding", 10000)}, services(quick))
	w.Promote("live", "wallet", v2)
	info, err := volume.Seal(t.Context(), filepath.Join(t.TempDir(), "two.volume"), w.Content("live"), volume.Options{Split: 40000})
	must(t, err)
	files, err := filepath.Glob(filepath.Join(filepath.Dir(info.Paths[0]), "two.volume*"))
	must(t, err)
	if len(files) < 3 {
		t.Fatalf("parts: %q", files)
	}
	w.running(func(a *agent.Agent) {
		for _, path := range files {
			b, err := os.ReadFile(path)
			must(t, err)
			before := a.Status().Last
			must(t, os.WriteFile(filepath.Join(stick, filepath.Base(path)), b, 0o644))
			if path != files[len(files)-1] {
				until(t, func() bool { return a.Status().Last != before })
			}
		}
		until(t, func() bool { return a.Status().Good == 2 })
	})
}

// What is compressed on the way is whole when it runs; one whose bytes were changed is refused.
func TestACompressedVolume(t *testing.T) {
	w := newWorld(t)
	w.Release("wallet", v1, map[string]string{"node": "up one" + strings.Repeat(" padding", 10000)}, services(quick))
	w.Promote("live", "wallet", v1)
	path := filepath.Join(t.TempDir(), "one.volume")
	_, err := volume.Seal(t.Context(), path, w.Content("live"), volume.Options{Pack: deflate.NewWriter})
	must(t, err)
	good, err := os.ReadFile(path)
	must(t, err)
	v, err := volume.Open(path)
	must(t, err)
	bad := slices.Clone(good)
	for _, e := range v.Entries() {
		if e.Size > 80_000 && e.Packed > 0 {
			bad[e.Offset+e.Packed/2] ^= 0x10
		}
	}
	must(t, v.Close())
	if bytes.Equal(bad, good) {
		t.Fatal("the program is not compressed")
	}
	must(t, os.WriteFile(path, bad, 0o644))
	if _, err := w.install(path, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("changed on the way: %v", err)
	}
	w.untouched()
	must(t, os.WriteFile(path, good, 0o644))
	w.mustInstall(path)
	w.runs("wallet.node: up one" + strings.Repeat(" padding", 10000))
}

func TestNoArtifactForThisMachine(t *testing.T) {
	w := newWorld(t)
	w.o.Platform = "linux/arm/v7"
	w.Release("wallet", v1, map[string]string{"node linux/amd64": "up", "node linux/arm64": "up 64"}, services(quick))
	w.Promote("live", "wallet", v1)
	_, err := w.install(w.volume("one"), nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(err.Error(), "linux/arm/v7") || !strings.Contains(err.Error(), "linux/amd64, linux/arm64") {
		t.Errorf("error: %v", err)
	}
	both := map[string]appfile.Service{"node": quick, "tool": quick}
	tool := quick
	tool.Artifact = "tool"
	both["tool"] = tool
	w.Release("wallet", v3, map[string]string{"node linux/arm/v7": "up", "tool linux/amd64": "up"}, both)
	w.Promote("live", "wallet", v3)
	_, err = w.install(w.volume("half"), nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(err.Error(), "no artifact tool, which service tool runs, for linux/arm/v7") {
		t.Errorf("half of it: %v", err)
	}
	w.Release("wallet", v2, map[string]string{"node linux/arm/v5": "up five", "node linux/arm/v6": "up six"}, services(quick))
	w.Promote("live", "wallet", v2)
	w.mustInstall(w.volume("two"))
	w.runs("wallet.node: up six")
}

func TestUninstall(t *testing.T) {
	for _, purge := range []bool{false, true} {
		w := newWorld(t)
		w.mustInstall(w.wallet(v1, "up one"))
		mustUninstall(t, w.open(), purge)
		w.runs()
		entries, err := os.ReadDir(w.dir)
		var left []string
		for _, e := range entries {
			left = append(left, e.Name())
		}
		if purge && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("purge left %v", left)
		}
		if want := []string{"lock", "log", "volumes"}; !purge && !slices.Equal(left, want) {
			t.Errorf("uninstall left %v, want %v", left, want)
		}
	}
}

func TestUpgradeIsHandedOverOnce(t *testing.T) {
	w := newWorld(t)
	w.wallet(v1, "up one")
	version := w.Release(release.AgentApp, "", map[string]string{release.AgentApp: "new agent"}, nil)
	w.Promote("live", release.AgentApp, version)
	path := w.volume("with agent")
	w.o.Self = digest.Of([]byte("old agent"))
	calls := make(chan string, 9)
	w.o.Upgrade = func(_ context.Context, path, version string, d digest.Digest) error {
		b, err := os.ReadFile(path)
		must(t, err)
		calls <- string(b) + " " + version
		return errors.New("it did not start")
	}
	w.running(func(a *agent.Agent) {
		_, err := control.Call(context.Background(), w.dir, nodeapi.Request{Op: nodeapi.OpInstall, Source: path, Install: &nodeapi.InstallOptions{Root: w.Root(), Channel: "live"}})
		must(t, err)
		if got := <-calls; got != "new agent "+version {
			t.Errorf("handed over to %q", got)
		}
		until(t, func() bool { return len(a.Status().Refused) == 1 })
		_, err = control.Call(context.Background(), w.dir, nodeapi.Request{Op: nodeapi.OpInstall, Source: path})
		must(t, err)
	})
	if len(calls) != 0 {
		t.Errorf("a refused agent program was tried again")
	}
	w.runs("wallet.node: up one")
}

// stuck is a source that says what there is, and then falls silent.
type stuck struct {
	stage.Source
	asked chan struct{} // closed when a blob was asked for
}

func (s stuck) Open(ctx context.Context, _ digest.Digest, _ int64) (io.ReadCloser, int64, error) {
	select {
	case <-s.asked:
	default:
		close(s.asked)
	}
	<-ctx.Done()
	return nil, 0, ctx.Err()
}

func TestAPersonsRequestIsNoFaultOfTheSource(t *testing.T) {
	w := newWorld(t)
	one := w.wallet(v1, "up one")
	must(t, os.Mkdir(w.dir, 0o755))
	must(t, os.WriteFile(filepath.Join(w.dir, node.ConfigName), []byte(`{"channel": "live", "root": "`+w.Root()+`"}`), 0o644))
	a := w.open()
	ctx := t.Context()
	src, done, err := follow.OpenSource(one)
	must(t, err)
	defer done()
	slow := stuck{src, make(chan struct{})}
	looked := make(chan error, 1)
	go func() {
		_, err := a.Look(ctx, slow)
		looked <- err
	}()
	select {
	case <-slow.asked:
	case err := <-looked:
		t.Fatalf("the look ended: %v", err)
	}
	r, err := a.Install(ctx, src, nodeapi.InstallOptions{})
	if err != nil || r.Outcome != nodeapi.Installed {
		t.Errorf("the person's: %+v, %v", r, err)
	}
	if err := <-looked; errs.KindOf(err) != errs.Cancelled {
		t.Errorf("the look that was interrupted: %v (%s)", err, errs.KindOf(err))
	}
}

// A service may ask for what only a later agent has: that is said by name, and nothing is touched.
func TestUnknownRuntimeIsRefusedBeforeTheSwitch(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	w.Calls()
	boxed := quick
	boxed.Runtime = "container"
	w.Release("wallet", v2, map[string]string{"node": "up two"}, services(boxed))
	w.Promote("live", "wallet", v2)
	before := tree(t, filepath.Join(w.dir, "gen"))
	_, err := w.install(w.volume("two"), nodeapi.InstallOptions{})
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(err.Error(), `wallet@`+v2+`: service node: this agent has no runtime "container"; it has: process`) {
		t.Errorf("error: %v", err)
	}
	w.calls()
	if diff := cmp.Diff(before, tree(t, filepath.Join(w.dir, "gen"))); diff != "" {
		t.Errorf("something was staged (-before +after):\n%s", diff)
	}
	w.runs("wallet.node: up one")
}

// A service that moves to another runtime is ended by the one that it leaves, also by
// an agent that started neither.
func TestServiceMovesToAnotherRuntime(t *testing.T) {
	w := newWorld(t)
	other := &publisher.Machine{}
	w.o.Runtimes["container"] = other
	w.mustInstall(w.wallet(v1, "up one"))
	w.Calls()
	boxed := quick
	boxed.Runtime = "container"
	w.Release("wallet", v2, map[string]string{"node": "up two"}, services(boxed))
	w.Promote("live", "wallet", v2)
	w.mustInstall(w.volume("two"))
	w.calls("stop wallet.node")
	w.runs()
	if diff := cmp.Diff([]string{"wallet.node: up two"}, other.Running()); diff != "" {
		t.Errorf("in the other runtime (-want +got):\n%s", diff)
	}
	a := w.open()
	_, err := a.Rollback(t.Context(), 0)
	must(t, err)
	w.runs("wallet.node: up one")
	if got := other.Running(); len(got) != 0 {
		t.Errorf("in the other runtime: %v", got)
	}
}

// Where nothing was ever installed, or the first version was taken back, a rollback says that.
func TestRollbackWhereNothingIsInstalled(t *testing.T) {
	w := newWorld(t)
	_, err := w.open().Rollback(t.Context(), 0)
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(err.Error(), "roll back: nothing is installed") {
		t.Errorf("%v", err)
	}
}
