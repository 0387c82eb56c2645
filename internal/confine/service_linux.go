package confine

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/fsx"
	"overland/internal/logfile"
)

// Service is how a process is started that outlives the program that starts it.
type Service struct {
	// Ready is called with the keeper's process id before the command may run. When it returns an
	// error, or this program ends before it has returned, the command never runs.
	Ready  func(pid int, done Applied) error
	Linger time.Duration // what the command leaves behind gets SIGTERM, and SIGKILL after this
	Exit   *os.File      // the keeper writes here how the command ended: see ReadExit; nil = nowhere
	// Log is the file into which the keeper writes what the command prints, instead of Stdout and
	// Stderr, and never more than LogLimits. Its folder must exist.
	Log       string
	LogLimits logfile.Limits
}

// ExecError is a command that could not be started, though its surroundings were made.
type ExecError struct{ Err error }

func (e *ExecError) Error() string { return e.Err.Error() }
func (e *ExecError) Unwrap() error { return e.Err }

// StartService starts what s says and returns the keeper's process id once it runs. The keeper leads
// a session of its own and is a child of this program, which waits for it; signals that it gets are
// passed on to the command's process group. The end of ctx ends the start, not what was started.
// Listen, Prepare and Limits.Time are not for services.
func StartService(ctx context.Context, s Spec, v Service) (pid int, _ Applied, err error) {
	if s.Mounts, err = resolve(s.Mounts); err != nil {
		return 0, Applied{}, err
	}
	p, err := start(ctx, s, !s.User.Share && !s.Bare, &v)
	if err != nil {
		return 0, Applied{}, err
	}
	pid = p.PID()
	p.cancel(nil)
	p.control.Close()
	return pid, p.Applied, p.cmd.Process.Release()
}

// ReadExit returns what the keeper wrote into the file path, and whether it wrote anything.
func ReadExit(path string) (e Exit, ok bool) {
	const most = 256
	b, err := fsx.ReadFile(path, most)
	return e, err == nil && json.Unmarshal(b, &e) == nil
}

// keeperCommand returns how the keeper is started.
func keeperCommand(ctx context.Context, v *Service) *exec.Cmd {
	if v != nil { // a goroutine that watches ctx would outlive the start
		ctx = context.WithoutCancel(ctx)
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", Verb)
	cmd.Env = []string{}
	return cmd
}

// end kills the keeper, and all else with it; without namespaces, its process group.
func end(p *os.Process, bare bool) error {
	if bare {
		return unix.Kill(-p.Pid, unix.SIGKILL)
	}
	return p.Kill()
}

// ownStanding gives up what the agent has of its own: its priority, and its place in the list of
// what the kernel ends when memory is short. Both are taken back, which needs no rights.
func ownStanding() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0)
	if nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil && nice != 20 { // the kernel's 20 is nice 0
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 0) // a better one may be given up; from a worse one only root comes back
	}
}

// retryBusy calls start until the program is not busy any more, for a second. A program that is open
// for writing cannot be started: a child that another goroutine of the agent forked may hold such a
// descriptor for a moment.
func retryBusy(start func() error) error {
	const tries, wait = 50, 20 * time.Millisecond
	for try := 0; ; try++ {
		if err := start(); !errors.Is(err, unix.ETXTBSY) || try == tries {
			return err
		}
		time.Sleep(wait)
	}
}
