package nodecli

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/agent/control"
	"overland/internal/errs"
	"overland/internal/nodeapi"
)

func TestOutcomeOfAGeneration(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status nodeapi.Status
		want   string
		reason string
	}{
		{"its own report", nodeapi.Status{Generation: 3, Report: &nodeapi.Report{Outcome: nodeapi.RolledBack, Tried: 4, Reason: "no"}}, nodeapi.RolledBack, "no"},
		{"report lost, good", nodeapi.Status{Generation: 4, Good: 4}, nodeapi.Installed, ""},
		{"report lost, back", nodeapi.Status{Generation: 3, Refused: []nodeapi.Refusal{{Generation: 4, Reason: "bad"}}}, nodeapi.RolledBack, "bad"},
		{"report of another", nodeapi.Status{Generation: 4, Good: 4, Report: &nodeapi.Report{Outcome: nodeapi.RolledBack, Tried: 2}}, nodeapi.Installed, ""},
	} {
		r := outcome(&tt.status, 4)
		if r.Outcome != tt.want || r.Reason != tt.reason {
			t.Errorf("%s: outcome = %+v", tt.name, r)
		}
		if err := rolledBack(r); (errs.KindOf(err) == errs.Partial) != (tt.want == nodeapi.RolledBack) {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}

func TestStatusOfAnAgentThatDoesNotAnswer(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	hung, err := net.Listen("unix", filepath.Join(dir, control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	s, err := nodeStatus(t.Context(), dir, 50*time.Millisecond)
	if errs.KindOf(err) != errs.NotFound || s.Running || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "does not answer") {
		t.Errorf("status = %+v, %v", s, err)
	}
}

func TestCancelledIs130(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := awaitOutcome(ctx, env{err: io.Discard}, t.TempDir(), 1, time.Minute)
	if got := errs.KindOf(err).Exit(); got != 130 {
		t.Errorf("exit code %d for %v, want 130", got, err)
	}
}
