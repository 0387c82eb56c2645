package runtime_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"overland/internal/runtime"
)

// life is what a fake process does: it ends after d (0 = never) with exit.
type life struct {
	d    time.Duration
	exit runtime.Exit
	err  error // Start fails instead
}

// fakeRuntime starts fake processes with the lives it was given; the last one is repeated.
type fakeRuntime struct {
	mu      sync.Mutex
	lives   []life
	starts  []time.Time
	adopt   *fakeProcess
	current *fakeProcess
	exec    func(ctx context.Context, argv []string, out io.Writer) (runtime.Exit, error)
}

func (r *fakeRuntime) DataPath(i runtime.Instance, name string) string { return i.Data[name] }

func (r *fakeRuntime) Start(context.Context, runtime.Instance) (runtime.Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lives[min(len(r.starts), len(r.lives)-1)]
	r.starts = append(r.starts, time.Now())
	if l.err != nil {
		return nil, l.err
	}
	r.current = newFakeProcess(1000+len(r.starts), l)
	return r.current, nil
}

func (r *fakeRuntime) Adopt(context.Context, runtime.Instance) (runtime.Process, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.adopt
	r.adopt = nil
	return p, p != nil
}

func (r *fakeRuntime) Exec(ctx context.Context, _ runtime.Instance, argv []string, out io.Writer) (runtime.Exit, error) {
	return r.exec(ctx, argv, out)
}

// started returns how many processes were started.
func (r *fakeRuntime) started() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.starts)
}

// waits returns the times between starts.
func (r *fakeRuntime) waits() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []time.Duration
	for k := 1; k < len(r.starts); k++ {
		list = append(list, r.starts[k].Sub(r.starts[k-1]))
	}
	return list
}

type fakeProcess struct {
	pid      int
	info     runtime.Info
	done     chan struct{}
	once     sync.Once
	exit     runtime.Exit
	released bool
	stopped  time.Duration // timeout that Stop got
	deaf     bool          // Stop does not help
}

func newFakeProcess(pid int, l life) *fakeProcess {
	p := &fakeProcess{pid: pid, info: runtime.Info{Since: time.Now()}, done: make(chan struct{})}
	if l.d > 0 {
		time.AfterFunc(l.d, func() { p.end(l.exit) })
	}
	return p
}

func (p *fakeProcess) end(e runtime.Exit) {
	p.once.Do(func() {
		e.At = time.Now()
		p.exit = e
		close(p.done)
	})
}

func (p *fakeProcess) PID() int              { return p.pid }
func (p *fakeProcess) Info() runtime.Info    { return p.info }
func (p *fakeProcess) Done() <-chan struct{} { return p.done }
func (p *fakeProcess) Exit() runtime.Exit    { return p.exit }
func (p *fakeProcess) Release()              { p.released = true }

func (p *fakeProcess) Stop(_ context.Context, timeout time.Duration) error {
	p.stopped = timeout
	if p.deaf {
		return errors.New("it does not end")
	}
	p.end(runtime.Exit{Known: true, Signal: syscall.SIGTERM})
	return nil
}
