package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"overland/internal/agent/control"
	"overland/internal/agent/host"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/testkit/bins"
	"overland/internal/testkit/machine"
)

var builder bins.Builder

func TestMain(m *testing.M) {
	machine.Init()
	dir, err := os.MkdirTemp("", "overland-bins-")
	if err != nil {
		panic(err)
	}
	builder.Dir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// node is a machine that has nothing but busybox, of one platform.
type node struct {
	*machine.Machine
	t *testing.T
	s *site
}

func newNode(t *testing.T, s *site, env ...string) *node {
	t.Helper()
	interpreters, cpu, err := bins.On(s.plat)
	if err != nil {
		t.Fatal(err)
	}
	return startNode(t, s, machine.Options{Interpreters: interpreters, Env: append(cpu, env...)})
}

func startNode(t *testing.T, s *site, o machine.Options) *node {
	t.Helper()
	o.Output = t.Output()
	o.Name, o.Root, o.Binds = "node", machine.Busybox, map[string]string{s.dir: "/mnt"}
	m, err := machine.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return &node{Machine: m, t: t, s: s}
}

// sh runs argv on the node; it must end with exit code want. Both outputs are returned together.
func (n *node) sh(want int, argv ...string) string {
	n.t.Helper()
	out, err := n.Run(n.t.Context(), argv...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		n.t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	if code != want {
		log, _ := n.Run(n.t.Context(), "cat", "/var/lib/overland/log/agent.log")
		n.t.Fatalf("%q: exit code %d, want %d\n%s\nagent.log:\n%s", argv, code, want, out, log)
	}
	return out
}

func (n *node) agent(want int, args ...string) string {
	n.t.Helper()
	return n.sh(want, append([]string{"/usr/local/bin/overland-agent"}, args...)...)
}

// mustServe asks hello until it answers, and returns its process. It must say that it is version.
func (n *node) mustServe(version string) (process string) {
	n.t.Helper()
	limit := time.Now().Add(patience(n.s.plat, 10*time.Second))
	for {
		out, err := n.Run(n.t.Context(), "busybox", "wget", "-q", "-O", "-", "http://"+address+"/")
		if m := answer.FindStringSubmatch(out); err == nil && m != nil {
			if m[1] != version {
				n.t.Fatalf("serves %s, want %s", m[1], version)
			}
			return m[2]
		}
		if time.Now().After(limit) {
			n.t.Fatalf("hello answers %q, %v", out, err)
		}
	}
}

var answer = regexp.MustCompile(`^version (\S+) process (\d+)$`)

func (n *node) status(want int) nodeapi.Status {
	n.t.Helper()
	cmd := n.Command(n.t.Context(), "/usr/local/bin/overland-agent", "status", "--json")
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != want {
		n.t.Fatalf("status: exit code %d, want %d: %v\n%s", code, want, err, out)
	}
	var s nodeapi.Status
	if err := json.Unmarshal(out, &s); err != nil {
		n.t.Fatalf("status: %v\n%s", err, out)
	}
	return s
}

// until asks for the status until done says so.
func (n *node) until(what string, done func(nodeapi.Status) bool) nodeapi.Status {
	n.t.Helper()
	limit := time.Now().Add(patience(n.s.plat, time.Minute))
	for {
		cmd := n.Command(n.t.Context(), "/usr/local/bin/overland-agent", "status", "--json")
		out, _ := cmd.Output()
		var s nodeapi.Status
		if json.Unmarshal(out, &s) == nil && done(s) {
			return s
		}
		if time.Now().After(limit) {
			log, _ := n.Run(n.t.Context(), "cat", "/var/lib/overland/log/agent.log")
			n.t.Fatalf("never %s; last status:\n%s\nagent.log:\n%s", what, out, log)
		}
	}
}

const (
	v1 = "r1.000000000001"
	v2 = "r2.000000000002"
	v3 = "r3.000000000003"
)

func TestLifeOfANode(t *testing.T) {
	for _, plat := range platform.All() {
		t.Run(plat.Dashed(), func(t *testing.T) {
			t.Parallel()
			life(t, plat)
		})
	}
}

func life(t *testing.T, plat platform.Platform) {
	agents := agentsFor(t, "", plat)
	s := newSite(t, plat)
	first := s.seal(v1, agents)
	n := newNode(t, s)

	n.sh(4, "sh", first, "install") // nobody compared a fingerprint
	n.sh(4, "sh", first, "install", "--root", "sha256:"+strings.Repeat("0", 64))
	n.sh(4, "sh", first, "install", "--root", s.root) // S11: nor said what this machine is to follow
	for _, path := range []string{"/usr/local/bin/overland-agent", "/var/lib/overland"} {
		if out, err := n.Run(t.Context(), "ls", "-d", path); err == nil {
			t.Fatalf("a refused installation left %s", out)
		}
	}
	n.sh(0, "sh", first, "verify", "--root", s.root)
	out := n.sh(0, "sh", first, "install", "--root", s.root, "--channel", string(channel))
	if !strings.Contains(out, "installed: generation 1 hello@"+v1) {
		t.Errorf("install printed:\n%s", out)
	}
	process := n.mustServe(v1)
	st := n.status(0)
	if !st.Running || st.Generation != 1 || st.Good != 1 || st.Platform != string(plat) || len(st.Services) != 1 {
		t.Errorf("status = %+v", st)
	}
	if text := n.agent(0, "status"); !strings.Contains(text, "hello.web running") {
		t.Errorf("status:\n%s", text)
	}
	if text := n.agent(0, "logs", "hello.web", "-n", "5"); !strings.Contains(text, "hello: version "+v1) {
		t.Errorf("logs:\n%s", text)
	}

	pid := st.PID
	out = n.sh(0, "sh", first, "install", "--root", s.root, "--channel", string(channel))
	if !strings.Contains(out, "unchanged: generation 1") {
		t.Errorf("second install printed:\n%s", out)
	}
	if again := n.mustServe(v1); again != process || n.status(0).PID != pid {
		t.Errorf("installing again restarted something: service %s → %s, agent %d → %d", process, again, pid, n.status(0).PID)
	}

	out = n.sh(0, "sh", s.seal(v2, agents), "install")
	if !strings.Contains(out, "installed: generation 2 hello@"+v2) {
		t.Errorf("upgrade printed:\n%s", out)
	}
	n.mustServe(v2)

	out = n.sh(3, "sh", s.seal(v3, agents, "--broken"), "install")
	if !strings.Contains(out, "rolled back: generation 3 hello@"+v3) || !strings.Contains(out, "flux capacitor") {
		t.Errorf("broken version printed:\n%s", out)
	}
	n.mustServe(v2)
	if text := n.agent(0, "history"); !strings.Contains(text, "hello.web failed its self-test") {
		t.Errorf("history:\n%s", text)
	}

	n.agent(0, "rollback")
	n.mustServe(v1)

	n.agent(2, "uninstall", "--purge")
	n.agent(0, "uninstall", "--purge", "--yes")
	left := n.sh(0, "sh", "-c", "ls -d /var/lib/overland /usr/local/bin/overland-agent 2>/dev/null; ps | grep -v -e grep -e machine-init | grep -e overland -e hello || true")
	if strings.TrimSpace(left) != "" {
		t.Errorf("uninstall left:\n%s", left)
	}
}

// A container without an init: the volume itself is what it starts, and
// the agent becomes its process 1.
func TestContainer(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	agents := agentsFor(t, "", plat)
	s := newSite(t, plat)
	state := t.TempDir()
	first := machine.Options{
		Writable: map[string]string{state: "/var/lib/overland"},
		First:    []string{"sh", s.seal(v1, agents), "install", "--foreground", "--root", s.root, "--channel", string(channel)},
	}
	n := startNode(t, s, first)
	process := n.mustServe(v1)
	if comm := n.sh(0, "cat", "/proc/1/cmdline"); !strings.Contains(comm, "supervise") {
		t.Errorf("process 1 is %q", comm)
	}
	if left := n.sh(0, "sh", "-c", "ls -d /tmp/overland-* 2>/dev/null || true"); left != "" {
		t.Errorf("unpacked and left: %s", left)
	}
	n.mustReap()
	out := n.sh(0, "sh", s.seal(v2, agents), "install")
	if !strings.Contains(out, "installed: generation 2") {
		t.Errorf("upgrade printed:\n%s", out)
	}
	if again := n.mustServe(v2); again == process {
		t.Error("another version in the same process")
	}
	log := filepath.Join(state, "log", "hello.web.log")
	before := strings.Count(read(t, log), "hello: stopping")
	if err := n.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-n.Done()
	if after := strings.Count(read(t, log), "hello: stopping"); after != before+1 {
		t.Errorf("the service was not stopped in order:\n%s", read(t, log))
	}

	// The container starts again with what it had, from the same command.
	n = startNode(t, s, first)
	n.mustServe(v2)
}

// The agent alone, without its supervisor: what it runs, it runs, and who installs reaches it.
func TestAgentAsProcessOne(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	agents := agentsFor(t, "", plat)
	s := newSite(t, plat)
	first := s.seal(v1, agents)
	state := t.TempDir()
	n := startNode(t, s, machine.Options{
		Writable: map[string]string{state: "/var/lib/overland", agents: "/opt"},
		First:    []string{"/opt/" + plat.Dashed() + "/overland-agent", "run"},
	})
	for limit := time.Now().Add(10 * time.Second); ; {
		if _, err := os.Stat(filepath.Join(state, control.SocketName)); err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("the agent does not listen")
		}
		n.sh(0, "true")
	}
	out := n.sh(0, "sh", first, "install", "--root", s.root, "--channel", string(channel))
	for _, want := range []string{"the running agent takes", "fetching hello@" + v1 + " hello: ", "installed: generation 1", "has no supervisor"} {
		if !strings.Contains(out, want) {
			t.Errorf("install does not print %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "sha256:") {
		t.Errorf("install prints digests:\n%s", out)
	}
	process := n.mustServe(v1)
	n.mustReap()
	if again := n.mustServe(v1); again != process {
		t.Errorf("reaping orphans restarted the service: process %s → %s", process, again)
	}
	log := filepath.Join(state, "log", "hello.web.log")
	if err := n.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-n.Done()
	if text := read(t, log); !strings.Contains(text, "hello: stopping") {
		t.Errorf("the service was not stopped in order:\n%s", text)
	}
}

// mustReap leaves orphans to process 1, which must not keep them as zombies.
func (n *node) mustReap() {
	n.t.Helper()
	n.sh(0, "sh", "-c", "(sh -c 'exit 0' & sh -c 'exit 0' &)")
	for limit := time.Now().Add(10 * time.Second); strings.Contains(n.sh(0, "ps", "-o", "stat"), "Z"); {
		if time.Now().After(limit) {
			n.t.Fatalf("zombies:\n%s", n.sh(0, "ps"))
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Broken agents, as far as a machine can tell: they are programs, they
// are signed, and they do not work.
var brokenAgents = map[string]string{
	"crashes":       "#!/bin/sh\nexit 7\n",
	"never reports": "#!/bin/sh\nexec sleep 600\n",
	"is no program": "this is no program\n",
}

func TestAgentUpgradesItselfAndGoesBack(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	one := agentsFor(t, "v1", plat)
	two := agentsFor(t, "v2", plat)
	s := newSite(t, plat)
	n := newNode(t, s, host.ReadyEnv+"=3s", host.StableEnv+"=1s")
	n.sh(0, "sh", s.seal(v1, one), "install", "--root", s.root, "--channel", string(channel))
	process := n.mustServe(v1)
	before := n.status(0)

	// The same application with a newer agent.
	n.sh(0, "sh", s.seal(v1, two), "install")
	st := n.until("the new agent is good", func(st nodeapi.Status) bool {
		return st.Running && st.Agent == "v2" && st.Program.Trying == "" && st.Program.Good != before.Program.Good
	})
	if st.PID == before.PID {
		t.Error("the same process is another version")
	}
	if again := n.mustServe(v1); again != process {
		t.Errorf("upgrading the agent restarted the service: process %s → %s", process, again)
	}

	good := st.Program.Good
	refused := 0
	for name, script := range brokenAgents {
		dir := filepath.Join(t.TempDir(), "agents")
		path := filepath.Join(dir, plat.Dashed(), "overland-agent")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		n.sh(0, "sh", s.seal(v1, dir), "install")
		refused++
		st = n.until(fmt.Sprintf("the agent that %s is refused", name), func(st nodeapi.Status) bool {
			return st.Running && st.Program.Trying == "" && len(st.Program.Refused) == refused
		})
		if st.Program.Current != good || st.Program.Good != good || st.Agent != "v2" {
			t.Errorf("%s: program = %+v, want %s again", name, st.Program, good)
		}
		if again := n.mustServe(v1); again != process {
			t.Errorf("%s: the service was restarted: process %s → %s", name, process, again)
		}
	}
	if text := n.agent(0, "history"); !strings.Contains(text, "exit code 7") {
		t.Errorf("history does not tell:\n%s", text)
	}
}
