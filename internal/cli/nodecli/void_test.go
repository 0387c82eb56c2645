package nodecli

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/testkit/publisher"
)

// void is a full disk.
type void struct{ tried bool }

func (v *void) Write([]byte) (int, error) {
	v.tried = true
	return 0, syscall.ENOSPC
}

// Whatever prints, a result that went nowhere is not exit 0.
func TestS1AnOutputThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	o := publisher.New(t, filepath.Join(dir, "operator"), nil)
	o.Release("wallet", "r1.aaaaaaaaaaaa", map[string]string{"node": "x"}, map[string]appfile.Service{
		"node": {Artifact: "node", Runtime: "process"},
	})
	o.Promote("live", "wallet", "r1.aaaaaaaaaaaa")
	file := filepath.Join(dir, "wallet.volume")
	o.Seal("live", file)
	node, log := filepath.Join(dir, "node"), filepath.Join(dir, "log")
	agentSaying(t, node, nodeapi.Response{
		Events: []nodeapi.Event{{What: "installed"}},
		Status: &nodeapi.Status{Running: true, Services: []nodeapi.Service{{Name: "wallet.node", State: "running", Log: log}}},
	})
	if err := os.WriteFile(log, []byte("up\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := []string{
		"help", "version", "list " + file, "list --json " + file,
		"extract " + file + " " + filepath.Join(dir, "out"), "status --state " + node, "status --json --state " + node,
		"history --state " + node, "history --json --state " + node, "logs wallet.node --state " + node,
	}
	for _, v := range verbs() {
		lines = append(lines, "help "+v.name)
	}
	for _, line := range lines {
		var out void
		var msg bytes.Buffer
		code := Run(t.Context(), strings.NewReader(""), &out, &msg, strings.Fields(line))
		if code != 1 || !out.tried || !strings.Contains(msg.String(), "print the result: no space left on device · hint: ") {
			t.Errorf("%s > /dev/full: exit code %d (wrote: %t): %s", line, code, out.tried, &msg)
		}
	}
	for _, c := range []*call{{}, {json: true}} {
		failed := errs.Errorf(errs.Partial, "rolled back")
		if _, err := finish(env{out: &void{}, err: &bytes.Buffer{}}, c, nodeapi.Report{}, failed); !errors.Is(err, failed) {
			t.Errorf("the loss of the output hides what became of the switch: %v", err)
		}
	}
}

// A follower of a log ends when nobody takes it.
func TestS1FollowingIntoTheVoidEnds(t *testing.T) {
	dir := t.TempDir()
	node, log := filepath.Join(dir, "node"), filepath.Join(dir, "log")
	agentSaying(t, node, nodeapi.Response{Status: &nodeapi.Status{Running: true, Services: []nodeapi.Service{{Name: "wallet.node", Log: log}}}})
	if err := os.WriteFile(log, []byte("up\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var msg bytes.Buffer
	e := env{in: bufio.NewReader(strings.NewReader("")), out: &void{}, err: &msg}
	if code := run(t.Context(), e, []string{"logs", "wallet.node", "-f", "--state", node}); code != 1 {
		t.Errorf("exit code %d: %s", code, &msg)
	}
}
