package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"overland/internal/agent/host"
	"overland/internal/appfile"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/testkit/machine"
)

// A machine whose root is mounted read-only: only the node's own directory and one
// folder for scratch can be written.
func TestReadOnlyRoot(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	agents := agentsFor(t, "", plat)
	s := newSite(t, plat)
	first := s.seal(v1, agents)
	n := startNode(t, s, machine.Options{
		Writable: map[string]string{t.TempDir(): "/var/lib/overland", t.TempDir(): "/tmp"}, ReadOnly: true,
	})
	n.sh(1, "touch", "/usr/local/bin/probe")
	out := n.sh(0, "sh", first, "install", "--root", s.root, "--channel", string(channel))
	if !strings.Contains(out, "read-only") || !strings.Contains(out, "installed: generation 1") {
		t.Errorf("install printed:\n%s", out)
	}
	n.mustServe(v1)
	out = n.sh(0, "sh", s.seal(v2, agents), "install")
	if !strings.Contains(out, "installed: generation 2") {
		t.Errorf("upgrade printed:\n%s", out)
	}
	n.mustServe(v2)
	// Nothing could be linked into the path; the program itself is
	// where the service would start it.
	n.sh(0, "/var/lib/overland/agent/good/overland-agent", "uninstall", "--purge", "--yes")
}

// A stick appears: the running agent takes what it brings, without anybody asking. What it brings
// has a self-test that hangs: it is taken back within the test's own time.
func TestAStickAppears(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	agents := agentsFor(t, "", plat)
	s := newSite(t, plat)
	first := s.seal(v1, agents)
	stick := t.TempDir()
	n := startNode(t, s, machine.Options{Writable: map[string]string{stick: "/media/stick"}})
	n.sh(0, "sh", first, "install", "--root", s.root, "--channel", string(channel), "--watch", "/media/*")
	n.mustServe(v1)

	s.plug(s.seal(v2, agents), stick)
	n.until("the volume on the stick runs", func(st nodeapi.Status) bool { return st.Running && st.Good == 2 })
	n.mustServe(v2)

	s.tests = []appfile.Check{{Exec: []string{"/bin/sleep", "100000"}, Within: appfile.Duration(patience(plat, 2*time.Second))}}
	s.plug(s.seal(v3, agents), stick)
	st := n.until("the self-test that hangs is given up", func(st nodeapi.Status) bool { return st.Running && len(st.Refused) == 1 })
	if st.Generation != 2 || !strings.Contains(st.Refused[0].Reason, "failed its self-test") {
		t.Errorf("status: %+v", st)
	}
	n.mustServe(v2)
	if out := n.sh(0, "ps"); strings.Contains(out, "sleep 100000") {
		t.Errorf("the self-test still hangs:\n%s", out)
	}
}

// A service that ignores SIGTERM holds up neither an upgrade, nor the way back from one, nor the
// end. The shell that installs has a strict umask, as the volume's stub has too, and a file open
// that is not for everybody: a service of another user starts all the same, and has only its own.
func TestAServiceOfAnotherUser(t *testing.T) {
	agents := agentsFor(t, "", "linux/amd64")
	s := newSite(t, "linux/amd64")
	s.user = "1234:1234"
	first := s.seal(v1, agents)
	s.user = ""
	second := s.seal(v2, agents)
	s.user = "1234:1234"
	third := s.seal(v3, agents)

	n := newNode(t, s)
	n.sh(0, "sh", "-c", "umask 077; echo secret >/root-only; exec 7</root-only; exec sh "+first+" install --channel live --root "+s.root)
	process := n.mustServe(v1)
	keeper := strconv.Itoa(n.status(0).Services[0].PID)
	if status := n.sh(0, "cat", "/proc/"+keeper+"/status"); keeper == process || !strings.Contains(status, "CapEff:\t0000000000000020\n") {
		t.Errorf("the keeper of process %s has rights:\n%s", process, status)
	}
	status := n.sh(0, "cat", "/proc/"+process+"/status")
	for _, line := range []string{"Uid:\t1234\t1234\t1234\t1234\n", "Umask:\t0022\n"} {
		if !strings.Contains(status, line) {
			t.Errorf("the service has no %q:\n%s", line, status)
		}
	}
	if open := n.sh(0, "ls", "-l", "/proc/"+process+"/fd"); strings.Contains(open, "root-only") {
		t.Errorf("the service has a file of the shell:\n%s", open)
	}

	// An agent of before has closed the folders: nobody noticed while the service was root's.
	n.sh(0, "sh", second, "install")
	// It names nobody now: its application has a user of its own, a low one in a container's 65,536.
	own := n.sh(0, "cat", "/proc/"+n.mustServe(v2)+"/status")
	for _, line := range []string{"Uid:\t60706\t60706\t60706\t60706\n", "CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(own, line) {
			t.Errorf("the service that names no user has no %q:\n%s", line, own)
		}
	}
	if status := n.sh(0, "/usr/local/bin/overland-agent", "status"); !strings.Contains(status, "user 60706:60706, system calls filtered") ||
		!strings.Contains(status, "less confined: files and processes of its own: ") {
		t.Errorf("status does not say what the service has and what a chroot cannot do:\n%s", status)
	}
	n.sh(0, "chmod", "700", "/var/lib/overland", "/var/lib/overland/gen", "/var/lib/overland/volumes")
	pid := n.status(0).PID
	n.sh(0, "kill", strconv.Itoa(pid))
	n.until("started again", func(st nodeapi.Status) bool { return st.Running && st.PID != pid })
	n.sh(0, "sh", third, "install")
	n.mustServe(v3)
}

func TestServiceThatIgnoresSIGTERM(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	agents := agentsFor(t, "", plat)
	s := newSite(t, plat)
	s.stop = appfile.Duration(time.Second)
	n := newNode(t, s)
	n.sh(0, "sh", s.seal(v1, agents, "--deaf"), "install", "--root", s.root, "--channel", string(channel))
	n.mustServe(v1)
	n.sh(0, "sh", s.seal(v2, agents, "--deaf"), "install")
	n.mustServe(v2)
	n.sh(3, "sh", s.seal(v3, agents, "--deaf", "--broken"), "install")
	n.mustServe(v2)
	if out := n.sh(0, "ps"); strings.Count(out, "hello --listen") != 1 {
		t.Errorf("want one hello:\n%s", out)
	}
	n.agent(0, "uninstall")
	if out := n.sh(0, "ps"); strings.Contains(out, "hello --listen") {
		t.Errorf("it outlived uninstall:\n%s", out)
	}
}

// An agent that stands still is started again; what it runs does not notice.
func TestAgentThatHangs(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	agents := agentsFor(t, "", plat)
	s := newSite(t, plat)
	first := s.seal(v1, agents)
	n := newNode(t, s, host.SilenceEnv+"=5s")
	n.sh(0, "sh", first, "install", "--root", s.root, "--channel", string(channel))
	process := n.mustServe(v1)
	pid := n.status(0).PID
	n.sh(0, "kill", "-STOP", strconv.Itoa(pid))
	st := n.until("another agent runs", func(st nodeapi.Status) bool { return st.Running && st.PID != pid })
	n.sh(0, "kill", "-KILL", strconv.Itoa(st.PID))
	if out := n.sh(0, "sh", first, "install"); !strings.Contains(out, "unchanged") { // while it is away
		t.Errorf("install printed:\n%s", out)
	}
	if again := n.mustServe(v1); again != process {
		t.Errorf("the service was restarted: process %s → %s", process, again)
	}
	if log := n.sh(0, "cat", "/var/lib/overland/log/agent.log"); !strings.Contains(log, "it hung: no sign of life for 5s") {
		t.Errorf("agent.log:\n%s", log)
	}
}

// plug puts a volume of the site onto a stick.
func (s *site) plug(volume, stick string) {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, filepath.Base(volume)))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stick, filepath.Base(volume)), b, 0o644); err != nil {
		s.t.Fatal(err)
	}
}
