package agent_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/agent/node"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/nodeapi"
)

// change changes the state of a node whose agent does not run.
func (w *world) change(f func(*node.State)) {
	w.t.Helper()
	n, err := node.Open(w.dir, node.Options{})
	must(w.t, err)
	must(w.t, errors.Join(n.Update(f), n.Close()))
}

// Services have proved themselves in a good generation alone: one that is the same as in another is
// tested.
func TestWhatIsNotGoodProvesNothing(t *testing.T) {
	for _, good := range []bool{true, false} {
		w := newWorld(t)
		w.mustInstall(w.wallet(v1, "up one"))
		if !good {
			w.change(func(s *node.State) { s.Good = 0 })
		}
		w.Release("other", v1, map[string]string{"node": "up other"}, services(quick))
		w.Promote("live", "other", v1)
		r := w.mustInstall(w.volume("both"))
		tested := map[string]bool{}
		for _, test := range r.Tests {
			tested[test.Service] = true
		}
		if !tested["other.node"] || tested["wallet.node"] == good {
			t.Errorf("from a good one: %v; tested %v", good, tested)
		}
	}
}

// Blobs of a generation that is kept and cannot be read are not known, so no blob is removed.
func TestNothingIsCollectedWhileAGenerationCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	w.mustInstall(w.wallet(v2, "up two"))
	names, err := filepath.Glob(filepath.Join(w.dir, "gen", "1", "generation*"))
	must(t, err)
	if len(names) != 2 {
		t.Fatalf("documents: %q", names)
	}
	for _, name := range names {
		must(t, os.WriteFile(name, []byte("{"), 0o644))
	}
	if r, err := w.install(w.wallet(v3, "crash three"), nodeapi.InstallOptions{}); r.Outcome != nodeapi.RolledBack {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, program := range []string{"up one", "crash three"} {
		if _, err := os.Stat(filepath.Join(w.dir, "depot", "blobs", "sha256", digest.Of([]byte(program)).Encoded())); err != nil {
			t.Errorf("%s: %v", program, err)
		}
	}
}

// A person who goes back from what was never tried refuses it: the channel, which names it still,
// does not bring it back.
func TestARollbackRefusesWhatWasNeverTried(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	two := w.wallet(v2, "up two")
	if r, err := w.install(two, nodeapi.InstallOptions{Defer: true}); err != nil || r.Outcome != nodeapi.Staged {
		t.Fatalf("%+v, %v", r, err)
	}
	w.Calls()
	a := w.open()
	r, err := a.Rollback(t.Context(), 0)
	if err != nil || r.Outcome != nodeapi.RolledBack || r.Generation != 1 || r.Tried != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	must(t, a.Close())
	w.runs("wallet.node: up one")
	if r, err := w.install(two, nodeapi.InstallOptions{}); errs.KindOf(err) != errs.Conflict {
		t.Errorf("again: %+v, %v", r, err)
	}
}

// What nothing leads back to is removed, after a switch and after one that failed.
func TestWhatNothingLeadsBackToIsRemoved(t *testing.T) {
	w := newWorld(t)
	kept := func(programs map[string]bool, numbers ...string) {
		t.Helper()
		for program, want := range programs {
			if _, err := os.Stat(filepath.Join(w.dir, "depot", "blobs", "sha256", digest.Of([]byte(program)).Encoded())); (err == nil) != want {
				t.Errorf("%s: %v, want it there: %v", program, err, want)
			}
		}
		dirs, err := os.ReadDir(filepath.Join(w.dir, "gen"))
		must(t, err)
		var got []string
		for _, d := range dirs {
			got = append(got, d.Name())
		}
		if !slices.Equal(got, numbers) {
			t.Errorf("generations %q, want %q", got, numbers)
		}
	}
	w.mustInstall(w.wallet(v1, "up one"))
	w.mustInstall(w.wallet(v2, "up two"))
	w.mustInstall(w.wallet(v3, "up three"))
	kept(map[string]bool{"up one": false, "up two": true, "up three": true}, "2", "3")
	if r, err := w.install(w.wallet("r4.dddddddddddd", "crash four"), nodeapi.InstallOptions{}); r.Outcome != nodeapi.RolledBack {
		t.Fatalf("%+v, %v", r, err)
	}
	kept(map[string]bool{"crash four": false, "up two": true, "up three": true}, "2", "3")
}

// A roll-back to nothing, to what runs, and of a first installation that was never tried.
func TestRollBacksThatSwitchNothing(t *testing.T) {
	w := newWorld(t)
	one := w.wallet(v1, "up one")
	back := func(number int) (nodeapi.Report, error) {
		t.Helper()
		a := w.open()
		defer a.Close()
		return a.Rollback(t.Context(), number)
	}
	if r, err := back(0); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("on an empty node: %+v, %v", r, err)
	}
	if r, err := w.install(one, nodeapi.InstallOptions{Root: w.Root(), Channel: "live", Defer: true}); err != nil || r.Outcome != nodeapi.Staged {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err := back(0); err != nil || r.Outcome != nodeapi.RolledBack || r.Generation != 0 || r.Tried != 1 {
		t.Errorf("of the first: %+v, %v", r, err)
	}
	w.runs()
	if r, err := w.install(one, nodeapi.InstallOptions{Retry: true}); err != nil || r.Outcome != nodeapi.Installed {
		t.Fatalf("%+v, %v", r, err)
	}
	w.Calls()
	if r, err := back(0); errs.KindOf(err) != errs.NotFound {
		t.Errorf("before the first: %+v, %v", r, err)
	}
	current := 2
	if r, err := back(current); err != nil || r.Outcome != nodeapi.Unchanged || r.Generation != current {
		t.Errorf("to what runs: %+v, %v", r, err)
	}
	w.runs("wallet.node: up one")
}

// A release is what it calls itself, whatever its signers call it.
func TestAReleaseByAnotherName(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	desc, err := w.Depot.Resolve(t.Context(), "wallet@"+v1)
	must(t, err)
	w.Release("chat", v1, map[string]string{"node": "up chat"}, services(quick))
	for _, as := range [][2]string{{"chat", v2}, {"chat", v1}, {"wallet", v2}} {
		w.promoteRaw(as[0], as[1], desc)
		r, err := w.install(w.Dir, nodeapi.InstallOptions{})
		if said := fmt.Sprint(r.Refused, err); !strings.Contains(said, "release "+as[0]+"@"+as[1]+" calls itself wallet@"+v1) {
			t.Errorf("as %s@%s: %s", as[0], as[1], said)
		}
		w.runs("wallet.node: up one")
	}
}
