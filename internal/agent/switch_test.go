package agent_test

import (
	"errors"
	"os"
	"path/filepath"
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
