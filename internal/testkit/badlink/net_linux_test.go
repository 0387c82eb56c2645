package badlink

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNet(t *testing.T) {
	n, err := NewNet(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	run := func(h *Host, argv ...string) (string, error) {
		out, err := h.Command(t.Context(), argv...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	// Every host knows its own net and nothing else.
	for i := range 3 {
		out, err := run(n.Host(i), "ip", "route")
		if err != nil || strings.Count(out, "\n") != 0 || !strings.HasPrefix(out, "192.0.2.0/24") {
			t.Errorf("host %d: routes %q, %v", i, out, err)
		}
		if out, err := run(n.Host(i), "id", "-u"); err != nil || out != "0" {
			t.Errorf("host %d: user %q, %v", i, out, err)
		}
	}
	if err := n.Host(1).Limit(4096); err != nil {
		t.Error(err)
	}
	if err := n.Host(1).Limit(0); err != nil {
		t.Error(err)
	}
	if err := n.Host(1).Unplug(); err != nil {
		t.Error(err)
	}
	if err := n.Host(1).Plug(); err != nil {
		t.Error(err)
	}
	if _, _, err := n.Host(1).Counts(); err != nil {
		t.Error(err)
	}
	pids := []string{n.sw.pid(), n.Host(0).space.pid()}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	for _, pid := range pids {
		if _, err := os.Stat(filepath.Join("/proc", pid)); err == nil {
			t.Errorf("process %s outlived its net", pid)
		}
	}
}
