package agent_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/agent"
	"overland/internal/appfile"
	"overland/internal/nodeapi"
)

// A service has the files of its own release, and keeps those that it was started with: another
// application's switches neither restart it nor take them away.
func TestAServiceHasTheFilesOfItsRelease(t *testing.T) {
	w := newRealWorld(t)
	w.Data = []string{"conf"}
	service := appfile.Service{
		Artifact: "node", Runtime: "process", Args: []string{"{{.Files.conf}}"}, Files: map[string]string{"conf": "deploy/conf"},
		Stable: appfile.Duration(time.Millisecond), Readiness: appfile.Duration(20 * time.Second), SelfTest: []appfile.Check{{Log: "^it says "}},
	}
	const script = "#!/bin/sh\n[ ! -w \"$1\" ] && echo \"it says $(cat \"$1\") in $PWD\"; exec sleep 1000\n"
	wallet := func(version, text string) {
		w.Release("wallet", version, map[string]string{"node": script, "conf": text}, services(service))
		w.Promote("live", "wallet", version)
		if r := w.mustInstall(w.volume(version)); r.Outcome != nodeapi.Installed {
			t.Fatalf("%s: %+v", version, r)
		}
	}
	says := func(want ...string) {
		t.Helper()
		lines, err := agent.PeekLogs(w.dir, "wallet.node", 10)
		for i := range want {
			want[i] = "it says " + want[i] + " in " + filepath.Join(w.dir, "volumes", "wallet")
		}
		if err != nil || strings.Join(lines, "\n") != strings.Join(want, "\n") {
			t.Errorf("log: %q, %v; want %q", lines, err, want)
		}
	}
	wallet(v1, "one")
	says("one")
	for i := range 4 { // so that the generation in which it was started is collected
		version := fmt.Sprintf("r%d.a", i+1)
		w.Release("chat", version, map[string]string{"node": "#!/bin/sh\nexec sleep 1000\n"}, services(appfile.Service{Artifact: "node", Runtime: "process", Stable: service.Stable}))
		w.Promote("live", "chat", version)
		w.mustInstall(w.volume("chat" + version))
	}
	says("one")
	var record struct {
		PID int `json:"pid"`
	}
	b, err := os.ReadFile(filepath.Join(w.dir, "run", "wallet.node.json"))
	must(t, err)
	must(t, json.Unmarshal(b, &record))
	first := filepath.Join(w.dir, "gen", "1", "bin", "wallet", "conf")
	if _, err := os.Stat(first); err == nil {
		t.Fatal("the first generation is there: this proves nothing")
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/root%s", record.PID, first)); err != nil || string(b) != "one" {
		t.Errorf("the service reads %q, %v", b, err)
	}
	wallet(v2, "two")
	says("one", "two")
	a := w.open()
	_, err = a.Rollback(t.Context(), 0)
	must(t, err)
	must(t, a.Close())
	says("one", "two", "one")
}
