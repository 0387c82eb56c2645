package node_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/agent/node"
	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/platform"
)

var day = time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC)

// boot is a machine's boot that the test moves.
type boot struct {
	id    string
	since time.Duration
}

func (b *boot) now() (string, time.Duration) { return b.id, b.since }

func generation(version string) node.Generation {
	body := "program " + version
	return node.Generation{Channel: "live", Source: "test", Apps: []node.App{{
		App: "wallet", Version: version, Release: digest.Of([]byte("release " + version)),
		Programs: []node.Program{{Artifact: "node", Platform: platform.All()[0], File: "node", Digest: digest.Of([]byte(body)), Size: int64(len(body))}},
		Services: map[string]appfile.Service{"node": {Artifact: "node", Runtime: "process"}},
	}}}
}

// placer writes the programs of version.
func placer(f fsx.FS, version string) func(node.Program, string) error {
	return func(_ node.Program, path string) error { return f.WriteFile(path, []byte("program "+version), 0o755) }
}

func open(t testing.TB, dir string, o node.Options) *node.Node {
	t.Helper()
	n, err := node.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func stage(t testing.TB, n *node.Node, version string) int {
	t.Helper()
	number, err := n.Stage(generation(version), placer(fsx.FS{}, version))
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func install(t testing.TB, n *node.Node, version string) int {
	t.Helper()
	number := stage(t, n, version)
	must(t, n.Begin(number, time.Minute, "install"))
	must(t, n.Try())
	must(t, n.Good())
	return number
}

// running returns the version whose program current leads to, "" when there is none.
func running(t testing.TB, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "current", "bin", "wallet", "node"))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	must(t, err)
	return strings.TrimPrefix(string(b), "program ")
}

func TestSwitch(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir, node.Options{})
	one := install(t, n, "r1")
	two := install(t, n, "r2")
	if got := running(t, dir); got != "r2" {
		t.Errorf("current runs %q, want r2", got)
	}
	three := stage(t, n, "r3")
	must(t, n.Begin(three, time.Minute, "install"))
	must(t, n.Try())
	must(t, n.Fail(node.Verdict{Reason: "it is broken", Check: "http", Log: []string{"last words"}}))
	if got := running(t, dir); got != "r2" {
		t.Errorf("after a failure current runs %q, want r2", got)
	}
	must(t, n.Back())
	st := n.State()
	if st.Current != two || st.Good != two || st.Before != one || st.Intent != nil {
		t.Errorf("state after going back: %+v", st)
	}
	g := generation("r3")
	if bad, ok := st.Refused(g.Content()); !ok || bad.Reason != "it is broken" {
		t.Errorf("r3 is refused: %v %+v", ok, bad)
	}
	last := st.Events[len(st.Events)-1]
	if last.What != "back" || last.Check != "http" || last.Log[0] != "last words" {
		t.Errorf("last event: %+v", last)
	}
	kept, err := n.Collect()
	must(t, err)
	if fmt.Sprint(kept) != "[1 2]" {
		t.Errorf("kept %v, want the good ones 1 and 2", kept)
	}
	four := install(t, n, "r4")
	if four != 4 {
		t.Errorf("the next generation is %d: a number was used twice or lost", four)
	}
	if kept, err = n.Collect(); err != nil || fmt.Sprint(kept) != "[2 4]" {
		t.Errorf("kept %v, %v, want 2 and 4", kept, err)
	}
}

func TestOperatorsRollbackHolds(t *testing.T) {
	n := open(t, t.TempDir(), node.Options{})
	one := install(t, n, "r1")
	install(t, n, "r2")
	must(t, n.Begin(one, time.Minute, "rollback"))
	must(t, n.Try())
	must(t, n.Good())
	st := n.State()
	two := generation("r2")
	if _, refused := st.Refused(two.Content()); !refused || st.Current != one {
		t.Errorf("after a rollback to 1: refused r2 %v, current %d", refused, st.Current)
	}
}

func TestTriesAreCountedBeforeTheStart(t *testing.T) {
	dir := t.TempDir()
	b := &boot{id: "a"}
	n := open(t, dir, node.Options{Boot: b.now})
	install(t, n, "r1")
	two := stage(t, n, "r2")
	must(t, n.Begin(two, time.Hour, "install"))
	for i := range node.Tries {
		must(t, n.Try())
		must(t, n.Close()) // the machine dies here
		b.id += "b"
		n = open(t, dir, node.Options{Boot: b.now})
		if left := n.State().Intent.Tries; left != node.Tries-i-1 {
			t.Fatalf("after %d starts %d tries are left", i+1, left)
		}
	}
	if err := n.Try(); !errors.Is(err, node.ErrExhausted) {
		t.Fatalf("try 4: %v, want ErrExhausted", err)
	}
	must(t, n.Fail(node.Verdict{}))
	must(t, n.Back())
	if got := running(t, dir); got != "r1" {
		t.Errorf("runs %q, want r1", got)
	}
}

func TestAnOrderlyStopGivesTheTryBack(t *testing.T) {
	n := open(t, t.TempDir(), node.Options{})
	two := stage(t, n, "r2")
	must(t, n.Begin(two, time.Hour, "install"))
	for range 2 * node.Tries {
		must(t, n.Try())
		must(t, n.Untry())
	}
}

func TestDeadlineOfLyingClocks(t *testing.T) {
	for _, year := range []int{1970, 2025, 2100} {
		t.Run(fmt.Sprint(year), func(t *testing.T) {
			dir := t.TempDir()
			b := &boot{id: "a", since: time.Hour}
			wall := day
			o := node.Options{Boot: b.now, Clock: func() time.Time { return wall }}
			n := open(t, dir, o)
			install(t, n, "r1")
			two := stage(t, n, "r2")
			must(t, n.Begin(two, time.Minute, "install"))
			must(t, n.Try())
			wall = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
			b.since += 59 * time.Second
			must(t, n.Close())
			n = open(t, dir, o)
			if err := n.Try(); err != nil {
				t.Fatalf("59 s into the minute, in %d: %v", year, err)
			}
			if left := n.Left(); left != time.Second {
				t.Errorf("left %s, want 1s", left)
			}
			b.since += time.Second
			if err := n.Try(); !errors.Is(err, node.ErrExhausted) {
				t.Errorf("after the minute, in %d: %v, want ErrExhausted", year, err)
			}
		})
	}
	t.Run("a new boot starts its time", func(t *testing.T) {
		b := &boot{id: "a", since: time.Hour}
		n := open(t, t.TempDir(), node.Options{Boot: b.now})
		must(t, n.Begin(stage(t, n, "r1"), time.Minute, "install"))
		must(t, n.Try())
		b.id, b.since = "b", 2*time.Hour
		must(t, n.Try())
	})
}

func TestTwoAgentsNeverRun(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, node.Options{})
	if _, err := node.Open(dir, node.Options{}); errs.KindOf(err) != errs.Conflict || !errors.Is(err, fsx.ErrLocked) {
		t.Errorf("second open: %v, want a conflict", err)
	}
}

func TestStageLeavesNothingOfAFailure(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir, node.Options{})
	install(t, n, "r1")
	full := errors.New("disk is full")
	if _, err := n.Stage(generation("r2"), func(node.Program, string) error { return full }); !errors.Is(err, full) {
		t.Fatalf("stage: %v", err)
	}
	if _, err := n.Stage(generation("r2"), placer(fsx.FS{}, "another size")); err == nil {
		t.Error("a program of the wrong size was staged")
	}
	entries, err := os.ReadDir(filepath.Join(dir, "gen"))
	must(t, err)
	if len(entries) != 1 || running(t, dir) != "r1" {
		t.Errorf("gen/ holds %v and r1 is %q", entries, running(t, dir))
	}
}

func TestGenerationsThatWouldLeaveTheirFolder(t *testing.T) {
	n := open(t, t.TempDir(), node.Options{})
	for name, change := range map[string]func(*node.Generation){
		"app":        func(g *node.Generation) { g.Apps[0].App = "../wallet" },
		"file":       func(g *node.Generation) { g.Apps[0].Programs[0].File = "../node" },
		"dot":        func(g *node.Generation) { g.Apps[0].Programs[0].File = ".." },
		"twice":      func(g *node.Generation) { g.Apps[0].Programs = append(g.Apps[0].Programs, g.Apps[0].Programs[0]) },
		"no program": func(g *node.Generation) { g.Apps[0].Programs = nil },
		"service":    func(g *node.Generation) { g.Apps[0].Services["a/b"] = g.Apps[0].Services["node"] },
		"volume": func(g *node.Generation) {
			g.Apps[0].Services["node"] = appfile.Service{Artifact: "node", Data: map[string]string{"..": "/"}}
		},
		"same app":    func(g *node.Generation) { g.Apps = append(g.Apps, g.Apps[0]) },
		"digest":      func(g *node.Generation) { g.Apps[0].Programs[0].Digest = "sha256:1" },
		"negative":    func(g *node.Generation) { g.Apps[0].Programs[0].Size = -1 },
		"upper, long": func(g *node.Generation) { g.Apps[0].App = strings.Repeat("a", 64) },
	} {
		g := generation("r1")
		change(&g)
		_, err := n.Stage(g, func(node.Program, string) error { t.Errorf("%s: a program was placed", name); return nil })
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

func TestUpdateWritesOnlyChanges(t *testing.T) {
	ops := 0
	n := open(t, t.TempDir(), node.Options{FS: fsx.FS{Before: func(fsx.Op) error { ops++; return nil }}})
	ops = 0
	must(t, n.Update(func(s *node.State) { s.Settings.Channel = "live" }))
	if ops == 0 {
		t.Error("a change was not written")
	}
	ops = 0
	must(t, n.Update(func(s *node.State) { s.Settings.Channel = "live" }))
	if ops != 0 {
		t.Errorf("an unchanged state cost %d operations", ops)
	}
}

func TestStateNeedsNoNewBlocks(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir, node.Options{FS: fsx.FS{}})
	for i := range 100 {
		must(t, n.Update(func(s *node.State) {
			s.AddEvent(nodeapi.Event{What: "back", Reason: strings.Repeat("long ", 1000), Log: []string{strings.Repeat("x", 9999), fmt.Sprint(i)}})
		}))
	}
	st := n.State()
	if len(st.Events) != node.EventLimit {
		t.Errorf("%d events kept", len(st.Events))
	}
	logs := 0
	for _, e := range st.Events {
		if e.Log != nil {
			logs++
		}
	}
	if logs != node.LogsLimit {
		t.Errorf("%d events keep their log", logs)
	}
	for _, name := range []string{"state.a", "state.b"} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if info.Size() != node.StateSlot {
			t.Errorf("%s has %d bytes, not the %d it began with", name, info.Size(), node.StateSlot)
		}
	}
}

// An application's user never moves and is never another's, also not after the state was read again
// or the application has gone.
func TestS17UsersOfApplicationsStay(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir, node.Options{})
	got := map[string]int{}
	for _, app := range []string{"wallet", "hello", "tea"} {
		uid, err := n.UserOf(app)
		must(t, err)
		for other, taken := range got {
			if uid == taken || uid < 60_000 {
				t.Errorf("%s has uid %d, %s %d", app, uid, other, taken)
			}
		}
		got[app] = uid
	}
	must(t, n.Close())
	n = open(t, dir, node.Options{})
	for app, want := range got {
		if uid, err := n.UserOf(app); err != nil || uid != want {
			t.Errorf("%s has uid %d (%v), had %d", app, uid, err, want)
		}
	}
	if uid, err := n.UserOf("late"); err != nil || uid == got["tea"] || uid == got["hello"] || uid == got["wallet"] {
		t.Errorf("a new application has uid %d (%v)", uid, err)
	}
}
