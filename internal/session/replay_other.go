//go:build !linux

package session

import (
	"context"
	"os"
	"os/exec"

	"overland/internal/errs"
)

// Replay works on Linux only: it needs a network namespace.
func Replay(context.Context, Options) (*Result, error) {
	return nil, errs.Hint(errs.Errorf(errs.Invalid, "a replay needs a network namespace"), "run it on Linux")
}

// isolated works on Linux only.
func (*session) isolated(context.Context, *Result) (begun bool, _ error) {
	return false, errs.Hint(errs.Errorf(errs.Invalid, "isolation needs a network namespace"), "run it on Linux, or with --isolated=false")
}

func (*session) rights() error { return nil }

// Nested works on Linux only.
func Nested(context.Context, []string, Options) error {
	return errs.Hint(errs.Errorf(errs.Invalid, "a build needs namespaces"), "run it on Linux, or with --isolation none")
}

// reaper returns the command itself: only Linux lets a process adopt
// the orphans of its descendants.
func (o *Options) reaper(ctx context.Context, _ string) (cmd *exec.Cmd, release func(), _ error) {
	cmd = exec.CommandContext(ctx, o.Command[0], o.Command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = shutdown
	return cmd, func() {}, nil
}

// Inside works on Linux only.
func Inside(context.Context, []string) error {
	return errs.Errorf(errs.Invalid, "a replay needs a network namespace")
}
