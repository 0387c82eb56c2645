package main

import (
	"strings"
	"testing"
	"time"

	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/testkit/machine"
)

// The unit under systemd itself, which is the machine's process 1.
func TestSystemd(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	agents := agentsFor(t, "", plat)
	s := newSite(t, plat)
	first := s.seal(v1, agents)
	m, err := machine.Start(t.Context(), machine.Options{
		Name: "debian", Root: machine.Host, Systemd: true, Binds: map[string]string{s.dir: "/mnt"}, Output: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	n := &node{Machine: m, t: t, s: s}
	for limit := time.Now().Add(time.Minute); ; {
		// "degraded" will do: a few of Debian's own units do not like so small a machine.
		out, _ := m.Run(t.Context(), "systemctl", "is-system-running")
		if state := strings.TrimSpace(out); state == "running" || state == "degraded" {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("systemd does not come up: %s", out)
		}
	}

	out := n.sh(0, "sh", first, "install", "--root", s.root, "--channel", string(channel))
	if !strings.Contains(out, "agent started (systemd)") || !strings.Contains(out, "installed: generation 1") {
		t.Errorf("install printed:\n%s", out)
	}
	process := n.mustServe(v1)
	pid := n.status(0).PID
	if out := n.sh(0, "systemctl", "is-enabled", "overland-agent"); strings.TrimSpace(out) != "enabled" {
		t.Errorf("the unit is %s", out)
	}
	out = n.sh(0, "sh", first, "install")
	if !strings.Contains(out, "unchanged") || strings.Contains(out, "started") || n.status(0).PID != pid {
		t.Errorf("second install printed:\n%s", out)
	}

	n.sh(0, "systemctl", "restart", "overland-agent")
	st := n.until("the agent is back", func(st nodeapi.Status) bool {
		return st.Running && st.PID != pid && len(st.Services) == 1 && st.Services[0].State == "running"
	})
	if again := n.mustServe(v1); again != process {
		t.Errorf("restarting the unit restarted hello: process %s → %s", process, again)
	}
	n.sh(0, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "overland-agent")
	n.until("systemd has started another", func(again nodeapi.Status) bool { return again.Running && again.PID != st.PID })
	if again := n.mustServe(v1); again != process {
		t.Errorf("killing the agent restarted hello: process %s → %s", process, again)
	}
	n.sh(0, "sh", s.seal(v2, agents), "install")
	n.mustServe(v2)

	n.agent(0, "uninstall", "--purge", "--yes")
	left := n.sh(0, "sh", "-c", "ls -d /etc/systemd/system/overland-agent.service /etc/systemd/system/*/overland-agent.service "+
		"/var/lib/overland /usr/local/bin/overland-agent 2>/dev/null || true")
	if left != "" {
		t.Errorf("uninstall left:\n%s", left)
	}
}
