package proof

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"overland/internal/testkit/bins"
)

// TestOneFileIsEnough is the main proof of the recorder: online, sealed, and rebuilt from
// nothing but the file. It fetches through the Go proxy, the npm registry and the Debian mirror
// that the machine is set up with.
func TestOneFileIsEnough(t *testing.T) {
	dir := t.TempDir()
	b := &bins.Builder{Dir: filepath.Join(dir, "bin")}
	built, err := b.Build(t.Context(), bins.Overland, "linux/amd64", "")
	if err != nil {
		t.Fatal(err)
	}
	overland := filepath.Join(dir, "bin", "overland") // its name on the PATH
	if err := os.Rename(built, overland); err != nil {
		t.Fatal(err)
	}
	agent := filepath.Join(dir, "agents", "linux-amd64", "overland-agent")
	if err := os.MkdirAll(filepath.Dir(agent), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(agent, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(dir, "proof")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	// What the recording compiles, the build need not; the rebuild compiles all.
	compiled := filepath.Join(dir, "compiled")
	if err := bins.ShareStandard(t.Context(), filepath.Join(compiled, "go-build")); err != nil {
		t.Fatal(err)
	}
	for _, s := range Steps(Options{
		Compiled: compiled, Dir: work, Overland: overland, Agents: filepath.Join(dir, "agents"), Teahouse: filepath.Join("testdata", "teahouse"),
		Command: func(line string) { t.Log("$", line) }, Line: func(text string) { t.Log(text) }, Output: t.Output(),
	}) {
		began := time.Now()
		if err := s.Do(t.Context()); err != nil {
			t.Fatalf("%s: %v", s.Title, err)
		}
		t.Logf("%s: %.1f s", s.Title, time.Since(began).Seconds())
	}
}
