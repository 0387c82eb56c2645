package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/runtime"
)

// Options are how a Runtime works. The zero value works.
type Options struct {
	FS       fsx.FS           // for the records
	Log      *slog.Logger     // nil = none
	Rotation runtime.Rotation // of the logs of services that have a keeper
}

// Runtime starts instances as processes. It is safe for concurrent use. A program has one, or Reap
// of one takes the children of the other.
type Runtime struct {
	o   Options
	log *slog.Logger

	noPidfd   bool          // a test plays an old kernel
	noGroups  bool          // a test plays a machine without control groups
	zombieAge time.Duration // see Reap

	mu   sync.Mutex
	pids map[int]int // watched: Reap leaves them alone
}

var (
	_ runtime.Runtime = (*Runtime)(nil)
	_ runtime.Execer  = (*Runtime)(nil)

	_ runtime.Rememberer = (*Runtime)(nil)
	_ runtime.PortTeller = (*Runtime)(nil)
)

// New returns a Runtime.
func New(o Options) *Runtime {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return &Runtime{o: o, log: o.Log, zombieAge: oldZombie, pids: map[int]int{}}
}

func (r *Runtime) watching(pid, change int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pids[pid] += change; r.pids[pid] == 0 {
		delete(r.pids, pid)
	}
}

// DataPath implements runtime.Runtime.
func (r *Runtime) DataPath(i runtime.Instance, name string) string { return i.Data[name] }

// Start implements runtime.Runtime. A record that cannot be written (a full disk) does not keep the
// service down where it has a control group: that is enough to find it.
func (r *Runtime) Start(ctx context.Context, i runtime.Instance) (runtime.Process, error) {
	unlock, err := lock(ctx, i.Record)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := r.makeRoom(ctx, i); err != nil {
		return nil, err
	}
	c, err := r.prepare(i)
	if err != nil {
		return nil, err
	}
	defer c.close()
	rec, err := c.start(ctx)
	if err != nil {
		c.spec.Group.Remove()
		return nil, errors.Join(explain(i, err), r.o.FS.Remove(i.Record))
	}
	return r.watch(i.Record, rec, i.StopTimeout(), false), nil
}

// makeRoom ends what still runs of other versions of i and what they left behind.
func (r *Runtime) makeRoom(ctx context.Context, i runtime.Instance) error {
	if rec, ok := find(i.Record); ok {
		if rec.runs(i) {
			return errs.Errorf(errs.Conflict, "%s runs already as process %d", i.Name, rec.PID)
		}
		r.log.Info("ending another version", "instance", i.Name, "pid", rec.PID)
		p := r.watch(i.Record, rec, i.StopTimeout(), true)
		err := p.Stop(ctx, i.StopTimeout())
		p.Release()
		if err != nil {
			return fmt.Errorf("end the version before: %w", err)
		}
	}
	return clearOut(ctx, i.Record, i.StopTimeout())
}

// Adopt implements runtime.Runtime.
func (r *Runtime) Adopt(ctx context.Context, i runtime.Instance) (runtime.Process, bool) {
	return r.adopt(ctx, i.Record, i.StopTimeout(), func(rec record) bool { return rec.runs(i) })
}

// Find returns whatever process runs under the record file, whichever instance it was: for services
// that no generation holds any more.
func (r *Runtime) Find(ctx context.Context, record string) (runtime.Process, bool) {
	return r.adopt(ctx, record, runtime.Instance{}.StopTimeout(), nil)
}

func (r *Runtime) adopt(ctx context.Context, path string, late time.Duration, want func(record) bool) (runtime.Process, bool) {
	unlock, err := lock(ctx, path)
	if err != nil {
		return nil, false
	}
	defer unlock()
	rec, ok := find(path)
	if !ok || (want != nil && !want(rec)) || !rec.settles(ctx) {
		return nil, false
	}
	if before, known := readRecord(path); !known || before.PID != rec.PID || before.Start != rec.Start {
		if err := rec.write(r.o.FS, path); err != nil {
			r.log.Warn("record not written", "record", path, "error", err)
		}
	}
	return r.watch(path, rec, late, true), true
}

// lock takes the lock of the record at path.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	l, err := fsx.AwaitLock(ctx, path+".lock")
	switch {
	case errors.Is(err, fsx.ErrLocked):
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}
