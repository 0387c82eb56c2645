package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/agent/host"
)

// Why an agent does not start is noted for whoever waits for it, until one starts.
func TestWhyAnAgentDoesNotStartIsNoted(t *testing.T) {
	dir := t.TempDir()
	slots := host.Slots{Dir: dir}
	broken := "#!/bin/sh\n[ -e mended ] && exec sh works\necho tried\necho 'mkdir run: not a directory' >&2\nexit 3\n"
	if err := os.WriteFile(filepath.Join(dir, "works"), []byte(works("mended")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := slots.First(host.StageScript(t, slots, broken)); err != nil {
		t.Fatal(err)
	}
	r := supervise(t, dir)
	r.expect("agent ended")
	want := "it ended with exit code 3 before it was ready; it said: mkdir run: not a directory"
	if got := slots.NotedFailure(); got != want {
		t.Errorf("noted %q, want %q", got, want)
	}
	if err := os.WriteFile(filepath.Join(dir, "mended"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.expect("agent works as")
	for end := time.Now().Add(30 * time.Second); slots.NotedFailure() != "" && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if got := slots.NotedFailure(); got != "" {
		t.Errorf("still noted of an agent that works: %q", got)
	}
}

// The agent's own log keeps its limit while the agent runs, in a burst too.
func TestTheAgentsLogIsRotatedWhileItRuns(t *testing.T) {
	dir := t.TempDir()
	slots := host.Slots{Dir: dir}
	line := strings.Repeat("x", 1000)
	chatty := "#!/bin/sh\nyes " + line + " | head -n 5000\necho end >&2\nexec sh works\n"
	if err := os.WriteFile(filepath.Join(dir, "works"), []byte(works("after it")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := slots.First(host.StageScript(t, slots, chatty)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log", "agent.log")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	none, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	superviseTo(t, dir, log, none)
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), "agent works as") {
			break
		}
	}
	const limit, chunk = 1 << 20, 64 << 10
	for name, most := range map[string]int64{path: limit + chunk, path + ".1": limit + 2*chunk} {
		if info, err := os.Stat(name); err != nil || info.Size() > most {
			t.Errorf("%s: %v, %v; at most %d", name, info.Size(), err, most)
		}
	}
}
