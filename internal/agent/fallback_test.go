package agent_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/agent/follow"
	"overland/internal/nodeapi"
)

// A node goes back with what one signer has signed, says so, and goes on with the next promotion; from
// the operator, and from a file.
func TestS10ANodeGoesBackAlone(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		t.Run(map[bool]string{false: "from the operator", true: "from a file"}[sealed], func(t *testing.T) {
			w := newWorld(t)
			w.wallet(v1, "up one")
			w.Protect("live", 2)
			w.Release("wallet", v2, map[string]string{"node": "up two"}, services(quick))
			w.Promote("live", "wallet", v2)
			a := w.open()
			defer a.Close()
			take := func(o nodeapi.InstallOptions) nodeapi.Report {
				t.Helper()
				path := w.Dir
				if sealed {
					path = filepath.Join(t.TempDir(), "live.volume")
					w.Seal("live", path)
				}
				src, done, err := follow.OpenSource(path)
				must(t, err)
				defer done()
				r, err := a.Install(t.Context(), src, o)
				must(t, err)
				return r
			}
			take(nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
			w.runs("wallet.node: up two")
			if s := a.Status(); len(s.Returned) != 0 {
				t.Errorf("returned: %+v", s.Returned)
			}

			w.GoBack("live", "wallet")
			take(nodeapi.InstallOptions{})
			w.runs("wallet.node: up one")
			now, err := w.Repo.Read(t.Context())
			must(t, err)
			s := a.Status()
			if len(s.Returned) != 1 || s.Returned[0].Version != v1 || s.Returned[0].Undone != v2 || !slices.Equal(s.Returned[0].By, now.SignedBy("fallback/live")) {
				t.Errorf("status: %+v", s.Returned)
			}
			if r := take(nodeapi.InstallOptions{}); r.Outcome != nodeapi.Unchanged || len(a.Status().Returned) != 1 {
				t.Errorf("again: %+v", r)
			}

			w.Release("wallet", v3, map[string]string{"node": "up three"}, services(quick))
			w.Promote("live", "wallet", v3)
			take(nodeapi.InstallOptions{})
			w.runs("wallet.node: up three")
			if s := a.Status(); len(s.Returned) != 0 || len(s.Problems) != 0 {
				t.Errorf("status: %+v, problems %q", s.Returned, s.Problems)
			}
		})
	}
}

// A fallback role that was spoiled changes nothing, and the status names it.
func TestS10ASpoiledFallbackIsNamed(t *testing.T) {
	w := newWorld(t)
	w.wallet(v1, "up one")
	w.Protect("live", 2)
	w.Release("wallet", v2, map[string]string{"node": "up two"}, services(quick))
	w.Promote("live", "wallet", v2)
	w.GoBack("live", "wallet")
	must(t, os.WriteFile(filepath.Join(w.Dir, "trust", "1.fallback%2Flive.json"), []byte("{}"), 0o644))
	a := w.open()
	defer a.Close()
	src, done, err := follow.OpenSource(w.Dir)
	must(t, err)
	defer done()
	_, err = a.Install(t.Context(), src, nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	must(t, err)
	w.runs("wallet.node: up two")
	if p := strings.Join(a.Status().Problems, "\n"); !strings.Contains(p, "fallback/live") || !strings.Contains(p, v2) {
		t.Errorf("problems: %q", p)
	}
}
