package tree

import (
	"os"
	"path/filepath"
	"testing"
)

// A parent whose name a pattern would read otherwise.
func TestSweep(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "a[b]*")
	for _, dir := range []string{stagePrefix + "dead", "else"} {
		if err := os.MkdirAll(filepath.Join(parent, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(parent, dir, "lock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := newStage(filepath.Join(parent, "dest"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := os.Stat(filepath.Join(parent, stagePrefix+"dead")); !os.IsNotExist(err) {
		t.Errorf("a dead stage stays: %v", err)
	}
	if _, err := os.Stat(filepath.Join(parent, "else")); err != nil {
		t.Errorf("what is no stage went: %v", err)
	}
	if _, err := os.Stat(s.dir); err != nil {
		t.Errorf("the new stage: %v", err)
	}
}
