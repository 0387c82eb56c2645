package agent_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"overland/internal/agent"
	"overland/internal/agent/follow"
	"overland/internal/agent/node"
	"overland/internal/agent/stage"
	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

func TestLyingClock(t *testing.T) {
	for _, year := range []int{1970, 2100} {
		t.Run(fmt.Sprint(year), func(t *testing.T) {
			w := newWorld(t)
			w.o.Clock = clock.At(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC))
			w.mustInstall(w.wallet(v1, "up one"))
			if r := w.mustInstall(w.wallet(v2, "up two")); r.Outcome != nodeapi.Installed {
				t.Errorf("report: %+v", r)
			}
			if r, err := w.install(w.wallet(v3, "crash"), nodeapi.InstallOptions{}); r.Outcome != nodeapi.RolledBack {
				t.Errorf("report: %+v, %v", r, err)
			}
			w.runs("wallet.node: up two")
		})
	}
}

// site is a source that can be asked for what is newest.
type site struct{ stage.Source }

func (site) Live() bool { return true }

// Whoever can be asked has no excuse for statements that have expired; a file that was sealed in time has.
func TestASiteThatHoldsBackNewsIsRefused(t *testing.T) {
	w := newWorld(t)
	w.o.Clock = clock.At(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	path := w.wallet(v1, "up one")
	a := w.open()
	src, done, err := follow.OpenSource(path)
	must(t, err)
	defer done()
	o := nodeapi.InstallOptions{Root: w.Root(), Channel: "live"}
	if r, err := a.Install(t.Context(), site{src}, o); errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), "expired") {
		t.Errorf("report %+v, %v", r, err)
	}
	w.runs()
	o.Offline = true // the operator has said that nothing newer can be fetched
	if r, err := a.Install(t.Context(), site{src}, o); err != nil || r.Outcome != nodeapi.Installed {
		t.Errorf("offline: %+v, %v", r, err)
	}
	a.Close()
	w.dir = filepath.Join(t.TempDir(), "other")
	w.Boot()
	w.mustInstall(path)
	w.runs("wallet.node: up one")
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
				return &fs.PathError{Op: op.Name, Path: op.Path, Err: syscall.ENOSPC}
			}
			return nil
		}}
		a, err := agent.Open(w.dir, w.o)
		var r nodeapi.Report
		if err == nil {
			src, done, e := follow.OpenSource(two)
			must(t, e)
			r, err = a.Install(context.Background(), src, nodeapi.InstallOptions{})
			done()
			a.Close()
		}
		if count < n {
			if err != nil || r.Outcome != nodeapi.Installed {
				t.Fatalf("with space: %+v, %v", r, err)
			}
			t.Logf("%d points tried", n)
			return
		}
		if got := w.Running(); len(got) != 1 || (got[0] != "wallet.node: up one" && got[0] != "wallet.node: up two") {
			t.Errorf("point %d: runs %v after %v", n, got, err)
		}
		w.o.FS = fsx.FS{} // somebody made space
		if _, err := w.install(two, nodeapi.InstallOptions{Retry: true}); err != nil {
			t.Errorf("point %d: with space again: %v", n, err)
		}
		w.runs("wallet.node: up two")
	}
}

func TestDamagedConfig(t *testing.T) {
	w := newWorld(t)
	w.mustInstall(w.wallet(v1, "up one"))
	path := filepath.Join(w.dir, node.ConfigName)
	for _, text := range []string{"", "{", `{"channel":"Live!"}`, `{"chanel":"live"}`, strings.Repeat("x", 64<<10+1)} {
		must(t, os.WriteFile(path, []byte(text), 0o644))
		a := w.open()
		st := a.Status()
		if st.Channel != "live" || len(st.Problems) != 1 || !strings.Contains(st.Problems[0], node.ConfigName) {
			t.Errorf("%.20q: channel %q, problems %q", text, st.Channel, st.Problems)
		}
		must(t, a.Close())
	}
}
