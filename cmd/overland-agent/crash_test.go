package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"overland/internal/agent/control"
	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/testkit/bins"
	"overland/internal/testkit/crash"
)

// saga is what happens to a node: a first version, a second one, and a
// third one that fails its self-test.
type saga struct {
	agent   string // the released program
	root    string
	volumes [3]string
}

func newSaga(t *testing.T) *saga {
	return newSagaOf(t, func(version string) []appfile.Check {
		if version == v3 {
			return []appfile.Check{{Log: "never", Within: appfile.Duration(300 * time.Millisecond)}}
		}
		return []appfile.Check{{Log: "hello: version " + version, Within: appfile.Duration(15 * time.Second)}} // it ends with the line
	})
}

// newSagaOf is newSaga with the self-tests that tests returns.
func newSagaOf(t *testing.T, tests func(version string) []appfile.Check) *saga {
	const plat = platform.Platform("linux/amd64")
	s := newSite(t, plat)
	program, err := builder.Build(t.Context(), bins.Agent, plat, "")
	if err != nil {
		t.Fatal(err)
	}
	g := &saga{agent: program, root: s.root}
	for i, version := range []string{v1, v2, v3} {
		s.tests = tests(version)
		// Any port: many nodes at once, and nobody asks.
		g.volumes[i] = filepath.Join(s.dir, filepath.Base(s.seal(version, agentsFor(t, "", plat), "--listen", "127.0.0.1:0")))
	}
	return g
}

// run is the agent of the node in dir. What it says goes to a file there, which
// services that outlive it may hold.
func (g *saga) run(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(dir, "said"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	cmd := exec.CommandContext(context.Background(), g.agent, append([]string{"run", "--state", filepath.Join(dir, "node")}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd
}

// play tells the agent in dir to install from the volume number first on, and returns how many it
// has answered for. An agent that is killed answers no more.
func (g *saga) play(ctx context.Context, dir string, first int) (done int, err error) {
	for i, volume := range g.volumes[first:] {
		q := nodeapi.Request{Op: nodeapi.OpInstall, Source: volume, Install: &nodeapi.InstallOptions{Root: g.root, Channel: "live", Retry: true}}
		_, err := control.Call(ctx, filepath.Join(dir, "node"), q)
		if broken := first+i == 2; broken && errs.KindOf(err) != errs.Partial || !broken && err != nil {
			return first + i, fmt.Errorf("volume %d: %w", first+i, err)
		}
	}
	return len(g.volumes), nil
}

// settled waits until the agent in dir answers and has decided every switch, and
// returns the version that runs.
func settled(ctx context.Context, dir string) (st nodeapi.Status, version string, err error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := control.Call(ctx, filepath.Join(dir, "node"), nodeapi.Request{Op: nodeapi.OpStatus})
		if err == nil && r.Status != nil && r.Status.Trial == nil {
			for _, app := range r.Status.Apps {
				version = app.Version
			}
			return *r.Status, version, nil
		}
		select {
		case <-ctx.Done():
			return st, "", fmt.Errorf("never settled: %w", err)
		case <-tick.C:
		}
	}
}

// trial kills the agent before its n-th change of the disk, 0 = never, and
// returns how many changes there were.
func (g *saga) trial(t *testing.T, n int) int {
	dir, err := os.MkdirTemp("", "ov") // short: there is a socket below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	answered := make(chan int, 1)
	go func() {
		st, _, err := settled(ctx, dir)
		done := 0
		if err == nil {
			done, err = g.play(ctx, dir, 0)
			if _, _, gone := settled(ctx, dir); gone == nil { // it was not killed
				_ = syscall.Kill(st.PID, syscall.SIGTERM)
			}
		}
		if err != nil && n == 0 {
			t.Error(err)
		}
		answered <- done
	}()
	changes, killed := crash.Program(t, g.run(t, dir), n)
	cancel()
	done := <-answered
	if !killed && done != len(g.volumes) {
		t.Errorf("it ended by itself after %d volumes", done)
	}

	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	next := g.run(t, dir, "--stop-services")
	if err := next.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = next.Process.Signal(syscall.SIGTERM)
		_ = next.Wait()
		if left := hellos(t, dir); len(left) != 0 {
			t.Errorf("left running: %q", left)
		}
		if t.Failed() {
			said, _ := os.ReadFile(filepath.Join(dir, "said"))
			t.Logf("killed before change %d of %d; the agents said:\n%s", n, changes, said)
		}
	}()
	st, version, err := settled(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	old := []string{"", v1, v2, v2}[done] // what was answered for is never lost; what was not may have happened
	if may := []string{v1, v2, v2, v2}[done]; version != old && version != may || len(st.Problems) != 0 {
		t.Errorf("answered for %d volumes, and %q runs: %+v", done, version, st)
	}
	check := func(version string) {
		t.Helper()
		got := hellos(t, dir)
		if want := min(len(version), 1); len(got) != want || want == 1 && !strings.Contains(got[0], "--version "+version) {
			t.Errorf("these run: %q, want %q", got, version)
		}
	}
	check(version)
	if _, err := g.play(ctx, dir, map[string]int{"": 0, v1: 1, v2: 2}[version]); err != nil {
		t.Error(err)
	}
	check(v2)
	return changes
}

// hellos returns the command lines of the services of the node in dir.
func hellos(t *testing.T, dir string) (list []string) {
	t.Helper()
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(env), filepath.Join(dir, "node")) {
			continue // it ended meanwhile, or is somebody else's
		}
		if line, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline")); err == nil && len(line) != 0 {
			list = append(list, strings.TrimRight(strings.ReplaceAll(string(line), "\x00", " "), " "))
		}
	}
	return list
}

// The released agent, killed before changes of the disk all over a first installation, an upgrade
// and a rollback. Every change is tried in internal/testkit/crash; here is a part of them, with
// nothing but the program itself.
func TestKillTheReleasedAgent(t *testing.T) {
	const points = 16
	g := newSaga(t)
	changes := g.trial(t, 0)
	t.Logf("%d of %d points are tried", points, changes)
	if changes < 10*points {
		t.Fatalf("only %d changes were seen", changes)
	}
	for i := range points {
		n := 1 + (2*i+1)*changes/(2*points)
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			g.trial(t, n)
		})
	}
}

// The released agent on a real disk that is full, which is killed there and starts there: it goes
// on with what runs, says what it lacks, and takes the new version when there is room.
func TestTheReleasedAgentOnAFullDisk(t *testing.T) {
	g := newSaga(t)
	disk, _ := crash.SmallDisk(t, 64<<20)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var cmd *exec.Cmd
	start := func() (version string) {
		t.Helper()
		cmd = g.run(t, disk, "--stop-services")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_, version, err := settled(ctx, disk)
		if err != nil {
			t.Fatal(err)
		}
		return version
	}
	end := func(sig os.Signal) {
		_ = cmd.Process.Signal(sig)
		_ = cmd.Wait()
	}
	defer func() {
		end(syscall.SIGTERM)
		if left := hellos(t, disk); len(left) != 0 {
			t.Errorf("left running: %q", left)
		}
	}()
	install := func(volume string) error {
		_, err := control.Call(ctx, filepath.Join(disk, "node"), nodeapi.Request{
			Op: nodeapi.OpInstall, Source: volume, Install: &nodeapi.InstallOptions{Root: g.root, Channel: "live"},
		})
		return err
	}
	start()
	if err := install(g.volumes[0]); err != nil {
		t.Fatal(err)
	}
	before := hellos(t, disk)
	fill := filepath.Join(disk, "fill")
	if err := os.WriteFile(fill, make([]byte, 64<<20), 0o600); !fsx.IsFull(err) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for range 2 { // the second time with an agent that has started on a full disk
		if err := install(g.volumes[1]); errs.KindOf(err) != errs.Unavailable || !strings.Contains(errs.HintOf(err), "free") {
			t.Errorf("error %v (%v), hint %q", err, errs.KindOf(err), errs.HintOf(err))
		}
		end(syscall.SIGKILL)
		if version := start(); version != v1 {
			t.Errorf("%s runs", version)
		}
	}
	if after := hellos(t, disk); len(before) != 1 || !slices.Equal(before, after) {
		t.Errorf("these run: %q, before: %q", after, before)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if err := install(g.volumes[1]); err != nil {
		t.Error(err)
	}
	if _, version, err := settled(ctx, disk); err != nil || version != v2 {
		t.Errorf("%s runs, %v", version, err)
	}
}

// The released agent under a clock of 1970 and of 2100: volumes are judged by when they were
// sealed, and everything else by how long it takes.
func TestTheReleasedAgentsClockLies(t *testing.T) {
	g := newSaga(t)
	for _, year := range []int{1970, 2100} {
		t.Run(fmt.Sprint(year), func(t *testing.T) {
			dir, err := os.MkdirTemp("", "ov")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			played := make(chan error, 1)
			go func() {
				st, _, err := settled(ctx, dir)
				if err == nil {
					_, err = g.play(ctx, dir, 0)
					if _, version, serr := settled(ctx, dir); err == nil && version != v2 {
						err = fmt.Errorf("%s runs, %w", version, serr)
					}
					_ = syscall.Kill(st.PID, syscall.SIGTERM)
				}
				played <- err
			}()
			crash.AtTime(t, g.run(t, dir, "--stop-services"), time.Date(year, 1, 2, 0, 0, 0, 0, time.UTC).Unix()-time.Now().Unix())
			if err := <-played; err != nil {
				t.Error(err)
			}
			said, err := os.ReadFile(filepath.Join(dir, "said"))
			if want := fmt.Sprintf("time=%d-01-02T", year); err != nil || strings.Count(string(said), want) < 3 || strings.Count(string(said), want) != strings.Count(string(said), "time=") {
				t.Errorf("%v; it said:\n%s", err, said)
			}
			if left := hellos(t, dir); len(left) != 0 {
				t.Errorf("left running: %q", left)
			}
		})
	}
}

// The released agent on a real disk without a free inode, on which an error of the file system comes then, so
// that it turns read-only under the agent: what is there runs on, runs again after it has ended, is started by the next agent, and can be gone back to.
func TestTheReleasedAgentOnADiskThatTakesNothing(t *testing.T) {
	// A log that cannot be written cannot be looked into.
	g := newSagaOf(t, func(string) []appfile.Check { return []appfile.Check{{Exec: []string{"true"}}} })
	disk, fail := crash.FailingDisk(t, 128<<20)
	dir := filepath.Join(disk, "node")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var cmd *exec.Cmd
	said := t.TempDir()
	runs := func(want string) {
		t.Helper()
		_, version, err := settled(ctx, disk)
		if err != nil || version != want {
			b, _ := os.ReadFile(filepath.Join(said, "said"))
			t.Fatalf("%q is to run, not %q: %v; the agents said:\n%s", version, want, err, b)
		}
		for len(hellos(t, disk)) == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if got := hellos(t, disk); len(got) != 1 || !strings.Contains(got[0], "--version "+want) {
			t.Fatalf("these run: %q, want %s", got, want)
		}
	}
	start := func() {
		t.Helper()
		cmd = g.run(t, said, "--state", dir, "--stop-services")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	end := func(sig os.Signal) {
		_ = cmd.Process.Signal(sig)
		_ = cmd.Wait()
	}
	ask := func(q nodeapi.Request) {
		t.Helper()
		if _, err := control.Call(ctx, dir, q); err != nil {
			t.Fatalf("%s: %v", q.Op, err)
		}
	}
	// again kills the service, then the agent, and goes back to generation.
	again := func(version string, generation int, before string) {
		t.Helper()
		runs(version)
		st, _, err := settled(ctx, disk)
		if err != nil || len(st.Services) != 1 {
			t.Fatal(err, st.Services)
		}
		if err := syscall.Kill(st.Services[0].PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for now := st; now.Services[0].PID == st.Services[0].PID || now.Services[0].State != "running"; {
			if now, _, err = settled(ctx, disk); err != nil {
				t.Fatal(err)
			}
		}
		end(syscall.SIGKILL)
		start()
		runs(version)
		ask(nodeapi.Request{Op: nodeapi.OpRollback, Generation: generation})
		runs(before)
	}
	start()
	defer func() { end(syscall.SIGTERM) }()
	if _, _, err := settled(ctx, disk); err != nil {
		t.Fatal(err)
	}
	for _, volume := range g.volumes[:2] {
		ask(nodeapi.Request{Op: nodeapi.OpInstall, Source: volume, Install: &nodeapi.InstallOptions{Root: g.root, Channel: "live"}})
	}
	for k, err := 0, error(nil); err == nil; k++ {
		err = os.WriteFile(filepath.Join(disk, fmt.Sprint("fill", k)), nil, 0o600)
	}
	again(v2, 1, v1)

	fail() // while the agent runs
	again(v1, 2, v2)
}
