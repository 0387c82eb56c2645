// Package procgroup starts a program of this machine that ends with its context as a whole: with
// all that it started, in whatever depth.
//
// It is for programs of the operator's own, such as git, go and npm. What somebody else's repository
// runs needs a cell (package confine): a program can leave its process group. Failure guarded: an
// interrupted build whose compilers go on, and hold its folders.
package procgroup

import (
	"context"
	"os/exec"
	"syscall"
	"time"
)

// Command is exec.CommandContext with environ, NAME=value, in a process group of its own, which is
// killed when ctx ends. What a process that left the group still holds of its output is waited for
// until wait has passed.
func Command(ctx context.Context, wait time.Duration, environ []string, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = wait
	return cmd
}
