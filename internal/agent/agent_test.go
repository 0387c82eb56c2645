package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/release"
	"overland/internal/spec"
	"overland/internal/testkit/operator"
	"overland/internal/trust"
	"overland/internal/volume"
)

func TestMain(m *testing.M) {
	// What is synced thousands of times need not reach a real disk here; crash tests that need one make it.
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		os.Setenv("TMPDIR", "/dev/shm")
	}
	goleak.VerifyTestMain(m)
}

const v1, v2, v3 = "r1.aaaaaaaaaaaa", "r2.bbbbbbbbbbbb", "r3.cccccccccccc"

// quick is a service that proves itself by staying up for a moment.
var quick = spec.Service{Artifact: "node", Runtime: "process", Stable: spec.Duration(time.Millisecond), Readiness: spec.Duration(300 * time.Millisecond), Volumes: map[string]string{"data": "/data"},
	Args: []string{"--data", "{{.Volumes.data}}"}}

func services(s spec.Service) map[string]spec.Service { return map[string]spec.Service{"node": s} }

// world is an operator and one machine.
type world struct {
	*operator.Operator
	*operator.Machine
	t   *testing.T
	dir string
	o   Options
}

func newWorld(t *testing.T) *world {
	m := &operator.Machine{}
	return &world{
		Operator: operator.New(t, t.TempDir(), nil), Machine: m, t: t, dir: filepath.Join(t.TempDir(), "node"),
		o: Options{Runtime: m, Platform: "linux/amd64"},
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

func (w *world) open() *Agent {
	w.t.Helper()
	a, err := Open(w.dir, w.o)
	must(w.t, err)
	w.t.Cleanup(func() { a.Close() })
	return a
}

// install installs path with an agent of its own.
func (w *world) install(path string, o InstallOptions) (Report, error) {
	w.t.Helper()
	a := w.open()
	defer a.Close()
	src, done, err := OpenSource(path)
	if err != nil {
		return Report{}, err
	}
	defer done()
	return a.Install(context.Background(), src, o)
}

func (w *world) mustInstall(path string) Report {
	w.t.Helper()
	r, err := w.install(path, InstallOptions{Root: w.Root()})
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
	if r.Outcome != Installed || r.Generation != 1 || r.Channel != "live" || r.Freshness.Known || r.Freshness.SignedAt.IsZero() {
		t.Errorf("first report: %+v", r)
	}
	w.runs("wallet.node: up one")
	two := w.wallet(v2, "up two")
	if r = w.mustInstall(two); r.Outcome != Installed || r.Generation != 2 || r.From != 1 {
		t.Errorf("second report: %+v", r)
	}
	w.runs("wallet.node: up two")

	r, err := w.install(w.wallet(v3, "crash three"), InstallOptions{})
	if r.Outcome != RolledBack || r.Generation != 2 || r.Tried != 3 || errs.KindOf(err) != errs.Partial {
		t.Errorf("broken version: %+v, %v", r, err)
	}
	if !strings.HasPrefix(r.Check, "wallet.node: ") || !slices.Contains(r.Log, "this is crash three") || !strings.Contains(r.Reason, "exit code 1") {
		t.Errorf("the report does not say why: %+v", r)
	}
	w.runs("wallet.node: up two")

	w.Calls()
	r, err = w.install(w.volume("again"), InstallOptions{})
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(errs.HintOf(err), "--retry") {
		t.Errorf("the broken version again: %+v, %v", r, err)
	}
	w.calls()
	if r, err = w.install(w.volume("retry"), InstallOptions{Retry: true}); r.Outcome != RolledBack || r.Tried != 4 {
		t.Errorf("with --retry: %+v, %v", r, err)
	}

	a := w.open()
	r, err = a.Rollback(context.Background(), 0)
	if err != nil || r.Outcome != Installed || r.Generation != 1 {
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

func TestInstallingAgainChangesNothing(t *testing.T) {
	w := newWorld(t)
	path := w.wallet(v1, "up one")
	w.mustInstall(path)
	w.Calls()
	before := tree(t, w.dir)
	r, err := w.install(path, InstallOptions{})
	if err != nil || r.Outcome != Unchanged || r.Generation != 1 {
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
	both := map[string]spec.Service{"node": quick, "tool": quick}
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
	w.Release("wallet", v3, map[string]string{"node": "up node"}, map[string]spec.Service{"node": quick})
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
	r, err := Call(ctx, w.dir, Request{Op: OpStatus})
	must(t, err)
	if s := r.Status; !s.Running || s.Generation != 1 || s.Services[0].Name != "wallet.node" {
		t.Errorf("status: %+v", s)
	}
	cancel()
	must(t, <-ran)
	must(t, a.Close())
	w.calls()
	w.runs("wallet.node: up one")
	if _, err := Call(context.Background(), w.dir, Request{Op: OpStatus}); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a stopped agent answers: %v", err)
	}
	s, err := Peek(w.dir)
	if err != nil || s.Generation != 1 || s.Services[0].State != "unknown" || s.Root != w.Root() {
		t.Errorf("peek: %+v, %v", s, err)
	}
}

func TestDeferredInstallIsDecidedByRun(t *testing.T) {
	w := newWorld(t)
	path := w.wallet(v1, "up one")
	r, err := w.install(path, InstallOptions{Root: w.Root(), Defer: true})
	if err != nil || r.Outcome != Staged {
		t.Fatalf("defer: %+v, %v", r, err)
	}
	w.calls()
	if r, err = w.install(path, InstallOptions{Defer: true}); err != nil || r.Outcome != Staged || r.Generation != 1 {
		t.Fatalf("defer again: %+v, %v", r, err)
	}
	if r, err = w.install(w.wallet(v2, "up two"), InstallOptions{Defer: true}); err != nil || r.Outcome != Staged || r.Generation != 2 {
		t.Fatalf("defer something newer: %+v, %v", r, err)
	}
	w.running(func(a *Agent) {
		until(t, func() bool { return a.Status().Good == 2 })
	})
	w.runs("wallet.node: up two")
}

// running runs an agent around f.
func (w *world) running(f func(a *Agent)) {
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
	w.running(func(a *Agent) {
		r, err := Call(ctx, w.dir, Request{Op: OpInstall, Source: w.wallet(v1, "up one"), Install: &InstallOptions{Root: w.Root()}})
		if err != nil || r.Report.Outcome != Installed {
			t.Fatalf("install: %+v, %v", r.Report, err)
		}
		r, err = Call(ctx, w.dir, Request{Op: OpInstall, Source: w.wallet(v2, "crash two")})
		if errs.KindOf(err) != errs.Partial || r.Report.Outcome != RolledBack || errs.HintOf(err) == "" {
			t.Errorf("broken: %+v, %v", r.Report, err)
		}
		if _, err = Call(ctx, w.dir, Request{Op: OpRollback, Generation: 7}); errs.KindOf(err) != errs.NotFound {
			t.Errorf("roll back to nothing: %v", err)
		}
		if r, err = Call(ctx, w.dir, Request{Op: OpLogs, Service: "wallet.node", Lines: 1}); err != nil || len(r.Lines) != 1 {
			t.Errorf("logs: %v, %v", r.Lines, err)
		}
		if r, err = Call(ctx, w.dir, Request{Op: OpHistory}); err != nil || len(r.Events) != 4 {
			t.Errorf("history: %v, %v", r.Events, err)
		}
		if _, err = Call(ctx, w.dir, Request{Op: "reboot"}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("unknown verb: %v", err)
		}
		if _, err := Open(w.dir, w.o); errs.KindOf(err) != errs.Conflict {
			t.Errorf("a second agent: %v", err)
		}
	})
}

func TestWatchedDirectory(t *testing.T) {
	w := newWorld(t)
	stick := t.TempDir()
	w.o.Watch = 5 * time.Millisecond
	_, err := w.install(w.wallet(v1, "up one"), InstallOptions{Root: w.Root(), Watch: []string{stick}})
	must(t, err)
	w.running(func(a *Agent) {
		must(t, os.WriteFile(filepath.Join(stick, "junk.volume"), []byte("this is no volume"), 0o644))
		until(t, func() bool { l := a.Status().Last; return l != nil && l.Error != "" })
		w.Release("wallet", v2, map[string]string{"node": "up two"}, services(quick))
		w.Promote("live", "wallet", v2)
		w.Seal("live", filepath.Join(stick, "two.volume"))
		until(t, func() bool { return a.Status().Good == 2 })
		w.runs("wallet.node: up two")
		must(t, os.RemoveAll(stick)) // the source is gone
		_, err := Call(context.Background(), w.dir, Request{Op: OpReload})
		must(t, err)
		w.runs("wallet.node: up two")
	})
}

func TestNoArtifactForThisMachine(t *testing.T) {
	w := newWorld(t)
	w.o.Platform = "linux/arm/v7"
	w.Release("wallet", v1, map[string]string{"node linux/amd64": "up", "node linux/arm64": "up 64"}, services(quick))
	w.Promote("live", "wallet", v1)
	_, err := w.install(w.volume("one"), InstallOptions{Root: w.Root()})
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(err.Error(), "linux/arm/v7") || !strings.Contains(err.Error(), "linux/amd64, linux/arm64") {
		t.Errorf("error: %v", err)
	}
	w.Release("wallet", v2, map[string]string{"node linux/arm/v5": "up five", "node linux/arm/v6": "up six"}, services(quick))
	w.Promote("live", "wallet", v2)
	w.mustInstall(w.volume("two"))
	w.runs("wallet.node: up six")
}

func TestNothingIsPinnedSilently(t *testing.T) {
	w := newWorld(t)
	path := w.wallet(v1, "up one")
	_, err := w.install(path, InstallOptions{})
	if errs.KindOf(err) != errs.Untrusted || !errors.Is(err, trust.ErrNotPinned) || !strings.Contains(errs.HintOf(err), "--root") {
		t.Errorf("without a root: %v", err)
	}
	_, err = w.install(path, InstallOptions{Root: digest.Of([]byte("another")).String()})
	if errs.KindOf(err) != errs.Untrusted {
		t.Errorf("with another root: %v", err)
	}
	w.untouched()
	src, done, err := OpenSource(path)
	must(t, err)
	defer done()
	if fp, err := OfferedRoot(context.Background(), src); err != nil || string(fp) != w.Root() {
		t.Errorf("offered root %s, %v", fp, err)
	}
	w.mustInstall(path)
	_, err = w.install(path, InstallOptions{Root: digest.Of([]byte("another")).String()})
	if errs.KindOf(err) != errs.Untrusted {
		t.Errorf("another root on a pinned node: %v", err)
	}
	w.runs("wallet.node: up one")
}

// untouched fails when anything was written outside the depot and the trust files, or anything ran.
func (w *world) untouched() {
	w.t.Helper()
	for path := range tree(w.t, w.dir) {
		top, _, _ := strings.Cut(path, "/")
		if !slices.Contains([]string{".", "depot", "trust", "gen", "lock", "state.a", "state.b"}, top) || strings.HasPrefix(path, "gen/") {
			w.t.Errorf("%s was written", path)
		}
	}
	w.calls()
}

// forge seals a volume of live whose wallet program is evil, with every digest from there up computed again and the
// signed metadata left as it is.
func (w *world) forge(t *testing.T) string {
	t.Helper()
	w.wallet(v1, "up one")
	evil := operator.New(t, t.TempDir(), nil)
	evil.Release("wallet", v1, map[string]string{"node": "up evil"}, services(quick))
	evil.Promote("live", "wallet", v1)
	c := evil.Content("live")
	c.Trust = w.Content("live").Trust
	path := filepath.Join(t.TempDir(), "forged.volume")
	_, err := volume.Seal(context.Background(), path, c, volume.Options{})
	must(t, err)
	return path
}

func TestForgedPayloadWithEveryDigestRecomputed(t *testing.T) {
	w := newWorld(t)
	path := w.forge(t)
	_, err := w.install(path, InstallOptions{Root: w.Root()})
	if errs.KindOf(err) != errs.Untrusted {
		t.Errorf("forged: %v (%s), want untrusted", err, errs.KindOf(err))
	}
	w.untouched()
}

func TestForgedVolumeWithItsOwnKeys(t *testing.T) {
	w := newWorld(t)
	one := w.wallet(v1, "up one")
	other := newWorld(t)
	evil := other.wallet(v2, "up evil")
	if _, err := w.install(evil, InstallOptions{Root: w.Root()}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("on a new node: %v", err)
	}
	w.untouched()
	w.mustInstall(one)
	w.Calls()
	if _, err := w.install(evil, InstallOptions{}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("on a node that runs: %v", err)
	}
	w.calls()
	w.runs("wallet.node: up one")
}

func TestOlderVolumeIsRefused(t *testing.T) {
	w := newWorld(t)
	one := w.wallet(v1, "up one")
	w.mustInstall(w.wallet(v2, "up two"))
	w.Calls()
	if _, err := w.install(one, InstallOptions{}); errs.KindOf(err) != errs.Untrusted || !errors.Is(err, trust.ErrRollback) {
		t.Errorf("older volume: %v", err)
	}
	w.calls()
	w.runs("wallet.node: up two")
}

func TestMissingPartIsRefused(t *testing.T) {
	w := newWorld(t)
	w.Release("wallet", v1, map[string]string{"node": "up one" + strings.Repeat(" padding", 10000)}, services(quick))
	w.Promote("live", "wallet", v1)
	path := filepath.Join(t.TempDir(), "big.volume")
	info, err := volume.Seal(context.Background(), path, w.Content("live"), volume.Options{Split: 40000})
	must(t, err)
	if len(info.Paths) < 2 {
		t.Fatalf("parts: %v", info.Paths)
	}
	must(t, os.Remove(info.Paths[1]))
	if _, err := w.install(info.Paths[0], InstallOptions{Root: w.Root()}); err == nil {
		t.Error("installed without a part")
	} else {
		t.Logf("%s: %v", errs.KindOf(err), err)
	}
	w.untouched()
}

func TestFlippedBytes(t *testing.T) {
	w := newWorld(t)
	path := w.wallet(v1, "up one")
	whole, err := os.ReadFile(path)
	must(t, err)
	for at := len(whole) - 1; at > 0; at -= 1 + len(whole)/60 {
		b := slices.Clone(whole)
		b[at] ^= 0x10
		bad := filepath.Join(t.TempDir(), "flipped.volume")
		must(t, os.WriteFile(bad, b, 0o644))
		w.dir = filepath.Join(t.TempDir(), "node")
		_, err := w.install(bad, InstallOptions{Root: w.Root()})
		switch {
		case err == nil: // a byte that nothing that was installed depends on: what runs is right all the same
			w.runs("wallet.node: up one")
			w.Boot()
		case errs.KindOf(err) == errs.Internal:
			t.Errorf("byte %d: %v is of kind internal", at, err)
		default:
			w.untouched()
		}
	}
}

func TestLyingClock(t *testing.T) {
	for _, year := range []int{1970, 2100} {
		t.Run(fmt.Sprint(year), func(t *testing.T) {
			w := newWorld(t)
			w.o.Clock = clock.At(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC))
			w.mustInstall(w.wallet(v1, "up one"))
			if r := w.mustInstall(w.wallet(v2, "up two")); r.Outcome != Installed {
				t.Errorf("report: %+v", r)
			}
			if r, err := w.install(w.wallet(v3, "crash"), InstallOptions{}); r.Outcome != RolledBack {
				t.Errorf("report: %+v, %v", r, err)
			}
			w.runs("wallet.node: up two")
		})
	}
}

func TestFullDiskAtAnyPoint(t *testing.T) {
	w := newWorld(t)
	one, two := w.wallet(v1, "up one"), w.wallet(v2, "up two")
	for n := 1; ; n++ {
		w.dir = filepath.Join(t.TempDir(), "node")
		w.o.FS = fsx.FS{}
		w.Boot()
		w.mustInstall(one)
		count := 0
		w.o.FS = fsx.FS{Before: func(op fsx.Op) error {
			// What needs no new space still works on a full disk.
			if op.Name == "remove" || op.Name == "sync" || op.Name == "syncdir" {
				return nil
			}
			if count++; count >= n && !strings.Contains(op.Path, "/state.") {
				return &fs.PathError{Op: op.Name, Path: op.Path, Err: errFull}
			}
			return nil
		}}
		a, err := Open(w.dir, w.o)
		var r Report
		if err == nil {
			src, done, e := OpenSource(two)
			must(t, e)
			r, err = a.Install(context.Background(), src, InstallOptions{})
			done()
			a.Close()
		}
		if count < n {
			if err != nil || r.Outcome != Installed {
				t.Fatalf("with space: %+v, %v", r, err)
			}
			t.Logf("%d points tried", n)
			return
		}
		if got := w.Running(); len(got) != 1 || (got[0] != "wallet.node: up one" && got[0] != "wallet.node: up two") {
			t.Errorf("point %d: runs %v after %v", n, got, err)
		}
		w.o.FS = fsx.FS{} // somebody made space
		if _, err := w.install(two, InstallOptions{Retry: true}); err != nil {
			t.Errorf("point %d: with space again: %v", n, err)
		}
		w.runs("wallet.node: up two")
	}
}

func TestDamagedConfig(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	path := filepath.Join(w.dir, configName)
	for _, text := range []string{"", "{", `{"channel":"Live!"}`, `{"chanel":"live"}`, strings.Repeat("x", configMax+1)} {
		must(t, os.WriteFile(path, []byte(text), 0o644))
		a := w.open()
		st := a.Status()
		if st.Channel != "live" || len(st.Problems) != 1 || !strings.Contains(st.Problems[0], configName) {
			t.Errorf("%.20q: channel %q, problems %q", text, st.Channel, st.Problems)
		}
		must(t, a.Close())
	}
}

func TestUninstall(t *testing.T) {
	for _, purge := range []bool{false, true} {
		w := newWorld(t)
		w.mustInstall(w.wallet(v1, "up one"))
		must(t, w.open().Uninstall(context.Background(), purge))
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
	w.Release(release.AgentApp, v1, map[string]string{release.AgentApp: "new agent"}, nil)
	w.Promote("live", release.AgentApp, v1)
	path := w.volume("with agent")
	w.o.Self = digest.Of([]byte("old agent"))
	calls := make(chan string, 9)
	w.o.Upgrade = func(_ context.Context, path, version string, d digest.Digest) error {
		b, err := os.ReadFile(path)
		must(t, err)
		calls <- string(b) + " " + version
		return errors.New("it did not start")
	}
	w.running(func(a *Agent) {
		_, err := Call(context.Background(), w.dir, Request{Op: OpInstall, Source: path, Install: &InstallOptions{Root: w.Root()}})
		must(t, err)
		if got := <-calls; got != "new agent "+v1 {
			t.Errorf("handed over to %q", got)
		}
		until(t, func() bool { return len(a.Status().Refused) == 1 })
		_, err = Call(context.Background(), w.dir, Request{Op: OpInstall, Source: path})
		must(t, err)
	})
	if len(calls) != 0 {
		t.Errorf("a refused agent program was tried again")
	}
	w.runs("wallet.node: up one")
}

func FuzzControl(f *testing.F) {
	f.Add([]byte(`{"op":"status"}`))
	f.Add([]byte(`{"op":"install","source":"/a.volume","install":{"root":"sha256:00"}}`))
	f.Add([]byte(`{"op":"rollback","generation":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readRequest(strings.NewReader(string(b)))
		if err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("kind %s of %v", errs.KindOf(err), err)
		}
		if err == nil && q.Op == "" {
			t.Error("a request without a verb")
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"channel":"live","sites":["https://10.0.0.1:8443#sha256:00"],"watch":["/media/*"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeConfig(strings.NewReader(string(b)))
		if err == nil && checkSettings(s) != nil {
			t.Error("settings that do not hold were taken")
		}
	})
}
