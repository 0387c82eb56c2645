package main

import (
	"strings"
	"testing"

	"overland/internal/nodeapi"
	"overland/internal/platform"
)

// An image is made in a chroot without /proc and without a service manager that answers; the machine
// that boots it starts what was installed, and proves it.
func TestImageBuild(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	agents := agentsFor(t, "", plat)
	s := newSite(t, plat)
	first := s.seal(v1, agents)
	n := newNode(t, s)
	n.sh(0, "sh", "-c", `set -e
mkdir -p /tmp/img/bin /tmp/img/tmp /tmp/img/usr/lib/systemd /tmp/img/etc /tmp/img/proc /tmp/img/dev
cp /bin/busybox /tmp/img/bin/busybox
for a in sh tail head uname mkdir rm cat gzip sha256sum chmod; do ln -s busybox /tmp/img/bin/$a; done
: >/tmp/img/usr/lib/systemd/systemd
cp `+first+` /tmp/img/first.volume`)
	out := n.sh(0, "busybox", "chroot", "/tmp/img", "/bin/sh", "/first.volume", "install", "--no-start", "--root", s.root, "--channel", string(channel))
	if !strings.Contains(out, "staged: generation 1") || !strings.Contains(out, "nothing was started") {
		t.Errorf("install printed:\n%s", out)
	}
	if again := n.sh(0, "busybox", "chroot", "/tmp/img", "/bin/sh", "/first.volume", "install", "--no-start"); !strings.Contains(again, "staged: generation 1") {
		t.Errorf("second install printed:\n%s", again)
	}
	n.sh(0, "test", "-f", "/tmp/img/etc/systemd/system/overland-agent.service")
	if link := n.sh(0, "readlink", "/tmp/img/etc/systemd/system/multi-user.target.wants/overland-agent.service"); strings.TrimSpace(link) != "/etc/systemd/system/overland-agent.service" {
		t.Errorf("the unit is enabled by %s", link)
	}
	if running := n.sh(0, "sh", "-c", "ps | grep -v grep | grep supervise || true"); running != "" {
		t.Errorf("started:\n%s", running)
	}
	// The first boot: what was made in the image, in its place on a machine.
	n.sh(0, "sh", "-c", "mkdir -p /var/lib /usr/local/bin && cp -a /tmp/img/var/lib/overland /var/lib/ && cp -a /tmp/img/usr/local/bin/overland-agent /usr/local/bin/ && "+
		"(overland-agent supervise --stop-services >/tmp/supervisor.log 2>&1 </dev/null &)")
	n.mustServe(v1)
	n.until("the generation is good", func(st nodeapi.Status) bool { return st.Good == 1 })
	n.agent(0, "uninstall", "--purge", "--yes")
}
