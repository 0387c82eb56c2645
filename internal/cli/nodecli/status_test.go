package nodecli

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/agent/control"
	"overland/internal/agent/node"
	"overland/internal/errs"
	"overland/internal/fsx"
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

// A job that is done does not fail the status. For a service that does not run, the text gives the
// reason too.
func TestStatusSaysWhyAServiceIsNotUp(t *testing.T) {
	done := nodeapi.Service{Name: "a.migrate", State: "ended", LastExit: "exit code 0", Done: true}
	failed := nodeapi.Service{Name: "a.job", State: "ended", LastExit: "exit code 3"}
	waits := nodeapi.Service{Name: "a.web", State: "waiting", Error: "start a.web: program /x: not there"}
	if !allUp([]nodeapi.Service{done, {State: "running"}}) || allUp([]nodeapi.Service{failed}) || allUp([]nodeapi.Service{waits}) {
		t.Error("what is up is told wrongly")
	}
	var out bytes.Buffer
	waits.Ports = []string{"8080", "127.0.0.1:53/udp"}
	printStatus(env{out: &out}, nodeapi.Status{Services: []nodeapi.Service{done, failed, waits}}, nodeapi.AgentVersions{})
	for _, want := range []string{"a.migrate ended, exit code 0\n", "a.job ended, exit code 3\n", "program /x: not there\n", "port 8080, 127.0.0.1:53/udp\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

type refuses struct{ err error }

func (h refuses) Handle(context.Context, nodeapi.Request) (nodeapi.Response, error) {
	return nodeapi.Response{Report: &nodeapi.Report{}}, h.err
}

// Without a generation to go back to rollback says that, and nothing of a generation 0.
func TestRollbackWithNothingBefore(t *testing.T) {
	dir := t.TempDir()
	s, err := control.Listen(dir, fsx.FS{}, refuses{errs.Errorf(errs.NotFound, "roll back: no good generation before 1 is kept")}, &control.Steps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.Serve(ctx) }()
	var out, said bytes.Buffer
	code := Run(t.Context(), strings.NewReader(""), &out, &said, []string{"rollback", "--state", dir})
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if code != 1 || out.Len() > 0 || !strings.Contains(said.String(), "no good generation before 1") {
		t.Errorf("exit code %d, %q, %q", code, out.String(), said.String())
	}
}

// What a version that was taken back wrote is read after a first installation too, when no service is left.
func TestLogsOfWhatWasTakenBack(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"wallet.node": "no such flag\n", "agent": "of the agent\n"} {
		if err := os.WriteFile(node.LogPath(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := control.Listen(dir, fsx.FS{}, empty{}, &control.Steps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.Serve(ctx) }()
	for name, want := range map[string]string{
		"wallet.node": "no such flag\n", "wallet.none": "hint: there are: wallet.node", "../log/wallet.node": "there are: ", "agent": "there are: wallet.node",
	} {
		var out, said bytes.Buffer
		code := Run(t.Context(), strings.NewReader(""), &out, &said, []string{"logs", "--state", dir, name})
		if (code == 0) != (name == "wallet.node") || !strings.Contains(out.String()+said.String(), want) {
			t.Errorf("logs %s: exit code %d, %q, %q", name, code, &out, &said)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// empty is an agent on which nothing is installed.
type empty struct{}

func (empty) Handle(context.Context, nodeapi.Request) (nodeapi.Response, error) {
	return nodeapi.Response{Status: &nodeapi.Status{}}, nil
}
