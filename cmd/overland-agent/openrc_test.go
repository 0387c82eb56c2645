package main

import (
	"strings"
	"testing"
	"time"

	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/testkit/machine"
)

// openrcBoot makes a machine look as after OpenRC's boot: Debian's package brings the
// programs, the machine the files.
const openrcBoot = `set -e
mkdir -p /etc/init.d /etc/conf.d /etc/runlevels/boot /etc/runlevels/default
for d in daemons exclusive failed hotplugged inactive init.d options scheduled started starting stopping tmp wasinactive; do
	mkdir -p /run/openrc/$d
done
printf '#!/sbin/openrc-run\nstart() { :; }\n' >/etc/init.d/localmount
chmod 755 /etc/init.d/localmount
echo default >/run/openrc/softlevel
`

// The service script under OpenRC itself: openrc-run, rc-service, rc-update and
// supervise-daemon are the real ones.
func TestOpenRC(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	agents := agentsFor(t, "", plat)
	s := newSite(t, plat)
	first := s.seal(v1, agents)
	m, err := machine.Start(t.Context(), machine.Options{
		Name: "alpine", Root: machine.Host, Binds: map[string]string{s.dir: "/mnt"}, Output: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	n := &node{Machine: m, t: t, s: s}
	n.sh(0, "sh", "-c", openrcBoot)

	out := n.sh(0, "sh", first, "install", "--root", s.root, "--channel", string(channel))
	if !strings.Contains(out, "agent started (openrc)") || !strings.Contains(out, "installed: generation 1") {
		t.Errorf("install printed:\n%s", out)
	}
	process := n.mustServe(v1)
	pid := n.status(0).PID
	if out := n.sh(0, "rc-update", "show", "default"); !strings.Contains(out, "overland-agent") {
		t.Errorf("default runlevel:\n%s", out)
	}
	n.sh(0, "rc-service", "overland-agent", "status")

	out = n.sh(0, "sh", first, "install")
	if !strings.Contains(out, "unchanged") || strings.Contains(out, "started") || n.status(0).PID != pid {
		t.Errorf("second install printed:\n%s", out)
	}

	// The service's restart and stop are about the agent; what it runs stays up.
	n.sh(0, "rc-service", "overland-agent", "restart")
	st := n.until("the agent is back", func(st nodeapi.Status) bool {
		return st.Running && st.PID != pid && len(st.Services) == 1 && st.Services[0].State == "running"
	})
	if again := n.mustServe(v1); again != process {
		t.Errorf("restarting the agent's service restarted hello: process %s → %s", process, again)
	}
	n.sh(0, "sh", "-c", "kill -9 $(cat /var/lib/overland/agent/lock)")
	n.until("supervise-daemon has started another", func(again nodeapi.Status) bool { return again.Running && again.PID != st.PID })
	n.sh(0, "rc-service", "overland-agent", "stop")
	if again := n.mustServe(v1); again != process {
		t.Errorf("stopping the agent's service restarted hello: process %s → %s", process, again)
	}
	n.status(5)
	n.sh(0, "rc-service", "overland-agent", "start")
	n.until("the agent is back", func(st nodeapi.Status) bool { return st.Running })

	n.agent(0, "uninstall", "--purge", "--yes")
	left := n.sh(0, "sh", "-c", "ls -d /etc/init.d/overland-agent /etc/runlevels/default/overland-agent /var/lib/overland /usr/local/bin/overland-agent 2>/dev/null || true")
	if left != "" {
		t.Errorf("uninstall left:\n%s", left)
	}
	for limit := time.Now().Add(10 * time.Second); ; {
		out := n.sh(0, "ps", "-ef")
		if !strings.Contains(out, "supervise") && !strings.Contains(out, "hello") {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("still running:\n%s", out)
		}
	}
}
