package crash_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/agent"
	"overland/internal/fsx"
	"overland/internal/runtime"
	"overland/internal/runtime/process"
	"overland/internal/testkit/crash"
)

// scripts are real programs: they outlive the agent that is killed.
var scripts = [3]string{
	"#!/bin/sh\n# one\nexec sleep 3600\n",
	"#!/bin/sh\n# two\nexec sleep 3601\n",
	"three: nothing that a kernel runs\n",
}

func TestKillUpgradeOfRealProcesses(t *testing.T) {
	shm(t)
	w := newWorld(t, scripts)
	rt := process.New(process.Options{})
	actual := func() runtime.Runtime { return rt }
	crash.Kill(t, w.scenario("one", "two", actual, func(t testing.TB, dir string, rt runtime.Runtime, completed bool) {
		defer stopAll(t, dir, rt)
		got := look(t, dir, rt)
		want := map[string]string{v1: "sleep 3600", v2: "sleep 3601"}[got]
		if want == "" || (completed && got != v2) {
			t.Errorf("runs %q, completed %v", got, completed)
		}
		expect(t, dir, want)
		if _, err := w.install(dir, "broken", fsx.FS{}, rt); err == nil {
			t.Error("a broken version was installed")
		}
		expect(t, dir, want)
	}))
}

// expect waits until exactly the processes want run: a script takes a moment to become its program.
func expect(t testing.TB, dir string, want ...string) {
	t.Helper()
	end := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		got := processes(t, dir)
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Errorf("these processes run: %q, want %q", got, want)
			return
		}
	}
}

// processes returns the command lines of what runs with a record below dir.
func processes(t testing.TB, dir string) []string {
	t.Helper()
	list := []string{}
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	must(t, err)
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(env), filepath.Join(dir, "run")) {
			continue // it ended meanwhile, or is somebody else's
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil || len(line) == 0 {
			continue
		}
		list = append(list, strings.TrimRight(strings.ReplaceAll(string(line), "\x00", " "), " "))
	}
	slices.Sort(list)
	return list
}

func stopAll(t testing.TB, dir string, rt runtime.Runtime) {
	t.Helper()
	a, err := agent.Open(dir, agent.Options{Runtimes: runtime.Set{"process": rt}, Platform: "linux/amd64"})
	must(t, err)
	if left, err := a.Uninstall(context.Background(), true); err != nil || len(left) > 0 {
		t.Errorf("uninstall left %v: %v", left, err)
	}
	if ps := processes(t, dir); len(ps) > 0 {
		t.Errorf("left running: %v", ps)
	}
}
