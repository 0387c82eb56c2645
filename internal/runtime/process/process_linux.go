package process

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"overland/internal/fsx"
	"overland/internal/runtime"
)

// Options are how a Runtime works. The zero value works.
type Options struct {
	FS  fsx.FS
	Log *slog.Logger // nil = none
}

// Runtime starts instances as processes. It is safe for concurrent use.
type Runtime struct{ o Options }

var (
	_ runtime.Runtime = (*Runtime)(nil)
	_ runtime.Execer  = (*Runtime)(nil)
)

// New returns a Runtime.
func New(o Options) *Runtime { return &Runtime{o} }

// Start implements runtime.Runtime.
func (r *Runtime) Start(ctx context.Context, i runtime.Instance) (runtime.Process, error) {
	return nil, errors.ErrUnsupported
}

// Adopt implements runtime.Runtime.
func (r *Runtime) Adopt(ctx context.Context, i runtime.Instance) (runtime.Process, bool) {
	return nil, false
}

// Find returns whatever process runs under the record file, whichever instance it was: for services that no
// generation holds any more.
func (r *Runtime) Find(ctx context.Context, record string) (runtime.Process, bool) {
	return nil, false
}

// Exec implements runtime.Execer.
func (r *Runtime) Exec(ctx context.Context, i runtime.Instance, argv []string, out io.Writer) (runtime.Exit, error) {
	return runtime.Exit{}, errors.ErrUnsupported
}

// Reap collects, until ctx ends, the zombies that others left to this process: needed where the agent is process 1 or
// a subreaper. It never takes the exit status of a child that this program waits for.
func Reap(ctx context.Context) error { <-ctx.Done(); return nil }

// Subreaper makes this process the parent of its descendants' orphans.
func Subreaper() error { return errors.ErrUnsupported }
