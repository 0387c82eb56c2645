package host_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"overland/internal/agent/host"
	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

// Agents are shell scripts here: what the supervisor knows of an agent is a program, a pipe and an
// exit code. Each writes what it does to its output, which the test reads line by line.
const (
	// worksScript starts a service in its own session when there is none yet,
	// reports ready and waits for SIGTERM.
	worksScript = `#!/bin/sh
# %s
if ! kill -0 "$(cat service.pid 2>/dev/null)" 2>/dev/null; then
	setsid sh -c 'exec 3>&-; echo $$ >service.pid.new; mv service.pid.new service.pid; exec sleep 600' </dev/null >/dev/null 2>&1 &
	while [ ! -e service.pid ]; do :; done
fi
mkfifo -m 600 fifo.$$
trap 'echo agent stops; rm fifo.$$; exit 0' TERM
trap 'rm fifo.$$; exit 75' USR1
echo "agent works as $1"
echo ready >&$OVERLAND_READY_FD
exec 3>&-
while :; do read x <>fifo.$$; done
`
	crashScript     = "#!/bin/sh\necho tried\nexit 3\n"
	signalScript    = "#!/bin/sh\necho tried\nkill -SEGV $$\n"
	hangScript      = "#!/bin/sh\necho tried\nexec sleep 600\n"
	deafScript      = "#!/bin/sh\nmkfifo -m 600 deaf.$$\ntrap '' TERM\necho tried\nwhile :; do read x <>deaf.$$; done\n"
	lieScript       = "#!/bin/sh\necho tried\necho fine >&$OVERLAND_READY_FD\nexec sleep 600\n"
	readyThenCrash  = "#!/bin/sh\necho tried\necho ready >&$OVERLAND_READY_FD\nexit 4\n"
	notAProgram     = "\x7fELF garbage"
	switchesForever = "#!/bin/sh\necho tried\nexit 75\n"
)

func works(version string) string { return fmt.Sprintf(worksScript, version) }

// running is a supervisor process whose output the test follows.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	seen  []string
	limit *time.Timer
}

func supervise(t *testing.T, dir string) *running {
	t.Helper()
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return superviseTo(t, dir, w, out)
}

// superviseTo starts a supervisor that writes to w, which is closed; what is read of out is what the
// test follows.
func superviseTo(t *testing.T, dir string, w *os.File, out *os.File) *running {
	t.Helper()
	r := &running{t: t, lines: make(chan string, 1000), limit: time.NewTimer(60 * time.Second)}
	r.cmd = exec.Command("/proc/self/exe")
	r.cmd.Env = append(os.Environ(), superviseEnv+"="+dir)
	r.cmd.Stdout, r.cmd.Stderr = w, w
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		defer close(r.lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			r.lines <- sc.Text()
		}
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM) // so that the agent has ended when its directory is removed
		_ = r.cmd.Wait()
		out.Close()
		for range r.lines {
		}
		<-finished
		if b, err := os.ReadFile(filepath.Join(dir, "service.pid")); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
				_ = syscall.Kill(-pid, syscall.SIGKILL)
			}
		}
	})
	return r
}

// expect reads output until a line matches, and returns that line.
func (r *running) expect(pattern string) string {
	r.t.Helper()
	re := regexp.MustCompile(pattern)
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				r.t.Fatalf("supervisor ended before %q:\n%s", pattern, strings.Join(r.seen, "\n"))
			}
			r.seen = append(r.seen, line)
			if re.MatchString(line) {
				return line
			}
		case <-r.limit.C:
			r.t.Fatalf("no line %q:\n%s", pattern, strings.Join(r.seen, "\n"))
		}
	}
}

// expectStart waits for the supervisor's line about a start, which it returns, and for the agent's
// own, "agent works". Two processes write them, so either may come first.
func (r *running) expectStart(pattern string) string {
	r.t.Helper()
	first := r.expect("(" + pattern + ")|agent works")
	if strings.Contains(first, "agent works") {
		return r.expect(pattern)
	}
	r.expect("agent works")
	return first
}

func (r *running) count(substring string) int {
	n := 0
	for _, line := range r.seen {
		if strings.Contains(line, substring) {
			n++
		}
	}
	return n
}

func pidIn(t *testing.T, line string) int {
	t.Helper()
	m := regexp.MustCompile(`pid=(\d+)`).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("no pid in %q", line)
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func servicePID(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "service.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("service process %d: %v", pid, err)
	}
	return pid
}

// start makes a node whose agent works, and runs it.
func start(t *testing.T) (host.Slots, nodeapi.Slot, *running) {
	t.Helper()
	s := host.Slots{Dir: t.TempDir()}
	old := host.StageScript(t, s, works("old"))
	if first, err := s.First(old); err != nil || !first {
		t.Fatalf("First = %v, %v", first, err)
	}
	r := supervise(t, s.Dir)
	return s, old, r
}

// A command that checks whether a supervisor runs holds its lock for a moment.
func TestASupervisorIsNotTurnedAwayByAQuestion(t *testing.T) {
	s := host.Slots{Dir: t.TempDir()}
	if _, err := s.First(host.StageScript(t, s, works("old"))); err != nil {
		t.Fatal(err)
	}
	lock, err := fsx.TryLock(filepath.Join(s.Dir, "agent", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(500*time.Millisecond, func() { _ = lock.Unlock() })
	supervise(t, s.Dir).expectStart("agent started")
}

// The power went during a first installation, or a container starts with an empty volume.
func TestASupervisorWaitsForAnInstallation(t *testing.T) {
	s := host.Slots{Dir: t.TempDir()}
	r := supervise(t, s.Dir)
	r.expect("waiting for an installation")
	h := &host.Host{Dir: s.Dir, Kind: host.None, Root: t.TempDir()}
	if h.Running(t.Context()) {
		t.Error("it holds the node from whoever installs")
	}
	if why := s.NotedFailure(); !strings.Contains(why, "install") {
		t.Errorf("status says %q", why)
	}
	if _, err := s.First(host.StageScript(t, s, works("first"))); err != nil {
		t.Fatal(err)
	}
	result, err := h.Install(t.Context())
	if err != nil || !h.Running(t.Context()) {
		t.Errorf("Install = %+v, %v; want the waiting supervisor to take over", result, err)
	}
	r.expectStart("agent started")
}

func TestAgentThatDoesNotWorkIsTakenBack(t *testing.T) {
	for name, tt := range map[string]struct {
		script string
		trial  host.Trial
		reason string
	}{
		"crashes at start":        {crashScript, host.Trial{Tries: 3}, "exit code 3 before it was ready"},
		"ended by a signal":       {signalScript, host.Trial{Tries: 2}, "ended by signal 11"},
		"hangs":                   {hangScript, host.Trial{Tries: 2, Ready: 50 * time.Millisecond}, "did not report ready within 50ms"},
		"hangs, ignores SIGTERM":  {deafScript, host.Trial{Tries: 1, Ready: 50 * time.Millisecond}, "did not report ready within 50ms"},
		"reports something else":  {lieScript, host.Trial{Tries: 1, Ready: 50 * time.Millisecond}, "did not report ready within 50ms"},
		"crashes when it is done": {readyThenCrash, host.Trial{Tries: 2, Stable: time.Minute}, "exit code 4 after it was ready"},
		"is no program":           {notAProgram, host.Trial{Tries: 2}, "exec format error"},
		"wants to be switched":    {switchesForever, host.Trial{Tries: 2}, "exit code 75 before it was ready"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, old, r := start(t)
			agent := pidIn(t, r.expectStart("agent started"))
			service := servicePID(t, s.Dir)

			bad := host.StageScript(t, s, tt.script)
			if armed, err := s.Arm(bad, tt.trial); err != nil || !armed {
				t.Fatalf("Arm = %v, %v", armed, err)
			}
			if err := syscall.Kill(agent, syscall.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			r.expectStart("agent started.*slot=" + string(old) + ".*trial=false")

			if got := servicePID(t, s.Dir); got != service {
				t.Errorf("service process = %d, want %d: it was restarted", got, service)
			}
			if tries := r.count("slot=" + string(bad) + " reason="); tries+r.count("cannot start the agent") != tt.trial.Tries {
				t.Errorf("tries = %d, want %d:\n%s", tries, tt.trial.Tries, strings.Join(r.seen, "\n"))
			}
			v := s.Versions()
			if v.Current != old || v.Good != old || v.Trying != "" {
				t.Errorf("Versions = %+v, want %s everywhere", v, old)
			}
			if len(v.Refused) != 1 || v.Refused[0].Slot != bad || v.Refused[0].Digest != digest.Of([]byte(tt.script)) || !strings.Contains(v.Refused[0].Reason, tt.reason) {
				t.Errorf("Refused = %+v, want %s because %q", v.Refused, bad, tt.reason)
			}
			if _, err := s.Stage(t.Context(), digest.Of([]byte(tt.script)), nil); err == nil {
				t.Error("a refused version could be staged again")
			}
		})
	}
}

func TestNewAgentThatWorksIsGood(t *testing.T) {
	s, old, r := start(t)
	ancient := host.StageScript(t, s, works("ancient"))
	agent := pidIn(t, r.expectStart("agent started"))
	service := servicePID(t, s.Dir)
	next := host.StageScript(t, s, works("new"))
	if _, err := s.Arm(next, host.Trial{Stable: 10 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(agent, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	r.expect("agent works")
	r.expect("new agent is good")
	if got := servicePID(t, s.Dir); got != service {
		t.Errorf("service process = %d, want %d", got, service)
	}
	if v := s.Versions(); v.Current != next || v.Good != next || v.Trying != "" {
		t.Errorf("Versions = %+v, want %s", v, next)
	}
	if !s.Runnable(old) || s.Runnable(ancient) {
		t.Errorf("kept old = %v, ancient = %v; want the one before kept and older ones removed", s.Runnable(old), s.Runnable(ancient))
	}
}

func TestSupervisorKilledDuringTries(t *testing.T) {
	s, old, r := start(t)
	r.expect("agent works")
	service := servicePID(t, s.Dir)
	bad := host.StageScript(t, s, hangScript)
	if _, err := s.Arm(bad, host.Trial{Tries: 2}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		r.cmd.Wait()
		r = supervise(t, s.Dir)
		r.expect("tried")
	}
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.cmd.Wait()
	r = supervise(t, s.Dir)
	r.expectStart("agent started.*slot=" + string(old))
	if refused, ok := s.Refused(bad); !ok || !strings.Contains(refused.Reason, "stopped during every try") {
		t.Errorf("refused = %+v, %v", refused, ok)
	}
	if got := servicePID(t, s.Dir); got != service {
		t.Errorf("service process = %d, want %d", got, service)
	}
}

func TestAgentEndsWithItsSupervisor(t *testing.T) {
	_, _, r := start(t)
	agent := pidIn(t, r.expectStart("agent started"))
	fd, err := pidfdOpen(agent)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if !pidfdWait(t, fd, 30*time.Second) {
		t.Error("the agent outlived its supervisor")
	}
}

func TestStopPassesSIGTERMAndLeavesServices(t *testing.T) {
	s, _, r := start(t)
	r.expect("agent works")
	service := servicePID(t, s.Dir)
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.expect("agent stops")
	r.expect("supervisor: done")
	if err := r.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if got := servicePID(t, s.Dir); got != service {
		t.Errorf("service process = %d, want %d", got, service)
	}
}

func TestOrderlyStopGivesTheTryBack(t *testing.T) {
	s, _, r := start(t)
	agent := pidIn(t, r.expectStart("agent started"))
	slow := host.StageScript(t, s, hangScript)
	if _, err := s.Arm(slow, host.Trial{Tries: 1}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(agent, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	r.expect("tried")
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.expect("supervisor: done")
	if i, ok := s.ReadIntent(); !ok || i.Tries != 1 || i.To != slow {
		t.Errorf("intent = %+v, %v; want 1 try left for %s", i, ok, slow)
	}
}

func TestAgentThatEndsIsStartedAgain(t *testing.T) {
	s, _, r := start(t)
	for range 3 {
		agent := pidIn(t, r.expectStart("agent started"))
		service := servicePID(t, s.Dir)
		if err := syscall.Kill(agent, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		r.expect("agent ended.*signal 9")
		if got := servicePID(t, s.Dir); got != service {
			t.Fatalf("service process = %d, want %d", got, service)
		}
	}
}

func TestAgentThatHangsIsStartedAgain(t *testing.T) {
	s := host.Slots{Dir: t.TempDir()}
	// It lives as long as it beats, however long that is; the file is there once it has hung.
	slot := host.StageScript(t, s, `#!/bin/sh
printf 'ready\n' >&$OVERLAND_READY_FD
for i in $(seq 60); do printf . >&$OVERLAND_READY_FD; sleep 0.05; done
echo beaten
[ -e hung ] || { : >hung; exec sleep 600; }
exec 3>&-
echo "silent by right"
exec sleep 600
`)
	if _, err := s.First(slot); err != nil {
		t.Fatal(err)
	}
	r := supervise(t, s.Dir)
	r.expect("beaten")
	r.expect("no sign of life")
	r.expect("agent ended.*it hung")
	r.expect("beaten")
	r.expect("silent by right")
	if got := r.count("agent started"); got != 2 {
		t.Errorf("started %d times, want 2:\n%s", got, strings.Join(r.seen, "\n"))
	}
}

func TestDamagedProgramGivesWayToAnother(t *testing.T) {
	s := host.Slots{Dir: t.TempDir()}
	old := host.StageScript(t, s, works("old"))
	damaged := host.StageScript(t, s, works("new"))
	if _, err := s.First(damaged); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "agent", string(damaged), host.Program), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := supervise(t, s.Dir)
	r.expect("agent ended.*slot=" + string(damaged))
	r.expectStart("agent started.*slot=" + string(old))
}

func TestTwoSupervisorsNeverRun(t *testing.T) {
	s, _, r := start(t)
	r.expect("agent works")
	second := supervise(t, s.Dir)
	second.expect("supervisor: supervise: lock .* in use by another process")
}

func TestOrphansAreReaped(t *testing.T) {
	s := host.Slots{Dir: t.TempDir()}
	// The agent ends at once; its child is adopted by the supervisor, ends,
	// and must not stay as a zombie.
	slot := host.StageScript(t, s, "#!/bin/sh\n[ -e once ] && { echo again; exec sleep 600; }\n: >once\n(sleep 0.05; echo $$ >/dev/null) & echo \"orphan pid=$!\"\nexit 0\n")
	if _, err := s.First(slot); err != nil {
		t.Fatal(err)
	}
	r := supervise(t, s.Dir)
	orphan := pidIn(t, r.expect("orphan"))
	fd, err := pidfdOpen(orphan)
	if err != nil {
		return // reaped already
	}
	defer syscall.Close(fd)
	if !pidfdWait(t, fd, 30*time.Second) {
		t.Fatal("orphan does not end")
	}
	// pidfd says "ended" for a zombie too; only a reaped process is gone from /proc.
	for deadline := time.Now().Add(30 * time.Second); ; {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", orphan)); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("orphan %d is still a zombie", orphan)
		}
	}
}
