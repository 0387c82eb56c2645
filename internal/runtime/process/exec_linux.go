package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"overland/internal/errs"
	"overland/internal/procfs"
	"overland/internal/runtime"
)

// Exec implements runtime.Execer. argv[0] is a path or is looked up in PATH.
func (r *Runtime) Exec(ctx context.Context, i runtime.Instance, argv []string, out io.Writer) (runtime.Exit, error) {
	if len(argv) == 0 {
		return runtime.Exit{}, errs.Errorf(errs.Invalid, "exec: no program")
	}
	u, err := runtime.LookupUser(i.User)
	if err != nil {
		return runtime.Exit{}, err
	}
	cred, err := credential(i.User, u)
	if err != nil {
		return runtime.Exit{}, err
	}
	rec := record{Run: "exec-" + rand.Text(), Instance: i.Digest()}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = i.Dir, out, out
	cmd.Env = append([]string{runVar + "=" + rec.mark(i.Record)}, environment(i, u)...)
	// A group, not a session: what leads a session could be taken for the service itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: cred}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond // what fled the group may hold the pipe

	err = cmd.Run()
	if ctx.Err() != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		end(func() []procfs.Process { return ofRun(rec.Run) }, last.Done())
		return runtime.Exit{}, ctx.Err()
	}
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed), err == nil, errors.Is(err, exec.ErrWaitDelay):
		return exitOf(cmd), nil
	}
	return runtime.Exit{}, fmt.Errorf("exec %s: %w", argv[0], err)
}

func exitOf(cmd *exec.Cmd) runtime.Exit {
	e := runtime.Exit{At: time.Now(), Code: cmd.ProcessState.ExitCode()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		e.Known = true
		if ws.Signaled() {
			e.Code, e.Signal = 0, ws.Signal()
		}
	}
	return e
}

// ofRun returns the living processes that carry the mark of the run.
func ofRun(run string) []procfs.Process {
	var list []procfs.Process
	_ = procfs.Each(func(s procfs.Process) {
		if value, ok := environ(s.PID, runVar); ok && !s.Dead() && strings.HasPrefix(value, run+" ") {
			list = append(list, s)
		}
	})
	return list
}
