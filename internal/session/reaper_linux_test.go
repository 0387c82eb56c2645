package session_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"overland/internal/procfs"
	"overland/internal/session"
)

// running is a program that runs a session. Whatever it starts has its stdout
// too: at its end nothing is left.
type running struct {
	*testing.T
	cmd   *exec.Cmd
	lines *bufio.Reader
}

// run starts cmd and waits until it says ready.
func run(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	out, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	const patience = time.Minute
	if err := out.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = theirs, os.Stderr
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t, cmd, bufio.NewReader(out)}
	for line := ""; line != "ready\n"; {
		if line, err = r.lines.ReadString('\n'); err != nil {
			t.Fatalf("%v after %q", err, line)
		}
	}
	return r
}

// end returns what the program and all that it started say until all have
// ended, and the program's exit code.
func (r *running) end() (string, int) {
	r.Helper()
	said, err := io.ReadAll(r.lines)
	if err != nil {
		r.Errorf("somebody stays behind: %v", err)
	}
	exit := (*exec.ExitError)(nil)
	if err := r.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		r.Fatal(err)
	}
	return string(said), r.cmd.ProcessState.ExitCode()
}

// family is a command with a grandchild that ignores what it is told, and a daemon.
const family = `trap 'echo told; trap "" TERM' TERM
sh -c '(trap "" TERM; exec tail -f /dev/null) & wait' &
mkfifo $OVERLAND_SESSION_TEST/up
setsid sh -c '(trap "echo daemon told; exit" TERM; echo >$OVERLAND_SESSION_TEST/up; tail -f /dev/null & wait) &'
read up <$OVERLAND_SESSION_TEST/up
echo ready
wait
exit 7`

func TestASignalEndsAllThatACommandStarted(t *testing.T) {
	for _, kind := range []string{session.Recording, session.Replaying} {
		for who, rights := range map[string]bool{"as it is": true, "without rights": false} {
			t.Run(kind+" "+who, func(t *testing.T) {
				t.Parallel()
				r := run(t, program(t, kind, family, rights))
				if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				said, code := r.end()
				if strings.Count(said, "told\n") != 2 || strings.Count(said, "daemon told\n") != 1 || code != 7 {
					t.Errorf("exit code %d, said %q", code, said)
				}
				for _, kv := range r.cmd.Env {
					if dir, ok := strings.CutPrefix(kv, "OVERLAND_SESSION_TEST="); ok {
						if left, err := os.ReadDir(filepath.Join(dir, "caches")); err != nil || len(left) > 2 { // its lock and its journal
							t.Errorf("%v stay behind, %v", left, err)
						}
					}
				}
			})
		}
	}
}

// As supervisors do when they lose patience.
func TestNothingOutlivesASessionThatIsKilled(t *testing.T) {
	t.Parallel()
	r := run(t, program(t, session.Recording, family, true))
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if said, _ := r.end(); strings.Count(said, "told\n") != 2 {
		t.Errorf("said %q", said)
	}
}

// A terminal sends its interrupt to the whole group.
func TestWhoHeardTheTerminalIsNotToldAgain(t *testing.T) {
	t.Parallel()
	cmd := program(t, session.Recording, `trap 'echo interrupted' INT; trap 'echo told' TERM
echo ready
while :; do tail -f /dev/null & wait; done`, true)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r := run(t, cmd)
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	const killed = 128 + 9
	if said, code := r.end(); said != "interrupted\n" || code != killed {
		t.Errorf("exit code %d, said %q", code, said)
	}
}

// The command is gone before its session has heard: still nothing stays.
func TestWhatOutlivesItsInterruptedCommand(t *testing.T) {
	t.Parallel()
	cmd := program(t, session.Recording, `(trap "" INT; tail -f /dev/null) & echo ready; wait`, true)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r := run(t, cmd)
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	const interrupted = 128 + 2
	if _, code := r.end(); code != interrupted {
		t.Errorf("exit code %d", code)
	}
}

// daemon leaves a process behind that has left its session too, and says its process id.
const daemon = `setsid tail -f /dev/null >/dev/null 2>&1 & echo $!; kill -TERM $$`

func TestWhatARecordedCommandLeavesRunningGoesOn(t *testing.T) {
	t.Parallel()
	out, err := program(t, session.Recording, daemon, true).Output()
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.ExitCode() != 128+15 {
		t.Fatalf("%v\n%s", err, out)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := procfs.Read(pid)
	if err != nil || p.Dead() {
		t.Errorf("it is gone: %v", err)
	}
	p.Signal(syscall.SIGKILL)
}
