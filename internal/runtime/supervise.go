package runtime

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
	"overland/internal/printer"
)

// Options are how Supervise works. The zero value works.
type Options struct {
	Log      *slog.Logger // nil = none
	Rotation Rotation     // of the instance's log
	Unwell   func(error)  // called when a check that goes on makes it restart the instance; nil = nobody
}

// Supervisor keeps one instance up. It is safe for concurrent use.
type Supervisor struct {
	rt     Runtime
	inst   Instance
	log    *slog.Logger
	rotate Rotation
	unwell func(error)
	end    context.CancelCauseFunc
	done   chan struct{}

	mu      sync.Mutex
	status  Status
	changed chan struct{}
	stopErr error
}

// Reasons for the end of a supervisor's context; anything else detaches too.
var (
	errStop   = errors.New("stop")
	errDetach = errors.New("detach")
)

// stopping reports whether Stop, and not anything that detaches, ended ctx.
func stopping(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errStop) }

// Supervise adopts inst when an earlier agent left it running, starts it otherwise, and starts it
// again by its restart policy whenever it ends. It returns at once; the end of ctx is Detach. The
// caller ends it with Stop or Detach, which wait for the goroutine that it starts.
func Supervise(ctx context.Context, rt Runtime, inst Instance, o Options) *Supervisor {
	if o.Unwell == nil {
		o.Unwell = func(error) {}
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	s := &Supervisor{
		rt: rt, inst: inst, rotate: o.Rotation, unwell: o.Unwell,
		log:     o.Log.With("instance", inst.Name),
		done:    make(chan struct{}),
		status:  Status{State: Starting, Since: time.Now()},
		changed: make(chan struct{}),
	}
	ctx, s.end = context.WithCancelCause(ctx)
	go func() {
		defer close(s.done)
		s.run(ctx)
	}()
	return s
}

// Status returns what the instance is doing.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Watch returns the status and a channel that is closed when it has changed.
func (s *Supervisor) Watch() (Status, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, s.changed
}

// Done is closed when the supervisor has ended: the instance is Ended, Stopped or Detached.
func (s *Supervisor) Done() <-chan struct{} { return s.done }

// Stop ends the instance and the supervisor and returns when the process is gone. After the
// supervisor has ended it does nothing. When ctx ends first, it returns ctx's error; the
// instance is still being stopped.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.end(errStop)
	select {
	case <-s.done:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.stopErr
	case <-ctx.Done():
		return fmt.Errorf("stop %s: %w", s.inst.Name, ctx.Err())
	}
}

// Detach ends the supervisor and leaves the instance running, for the next agent to adopt. After
// Stop it does nothing but wait.
func (s *Supervisor) Detach() {
	s.end(errDetach)
	<-s.done
}

func (s *Supervisor) set(change func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
	close(s.changed)
	s.changed = make(chan struct{})
}

// run is the supervisor's life: a process, a wait, a process, …
func (s *Supervisor) run(ctx context.Context) {
	if s.finished() {
		return
	}
	delay := backoff{min: s.inst.Spec.Restart.Backoff.Min.Or(time.Second), max: s.inst.Spec.Restart.Backoff.Max.Or(5 * time.Minute)}
	for first := true; ; first = false {
		p, err := s.obtain(ctx, first)
		var ended Exit
		switch {
		case err != nil && ctx.Err() != nil:
			s.quit(ctx)
			return
		case err == nil:
			sick, over := s.attend(ctx, p)
			if !over {
				return
			}
			ended = p.Exit()
			well := s.inst.Spec.Stable.Or(DefaultStable)
			if sick != nil { // it was up all the while that it failed
				ended.Unwell, well = sick.Error(), time.Hour
			}
			if up := ended.At.Sub(p.Info().Since); up >= well {
				delay.reset()
			}
			if sick == nil && !s.restarts(ended) {
				s.log.Info("service ended", "exit", ended.String())
				s.set(func(st *Status) {
					*st = Status{State: Ended, Since: ended.At, Restarts: st.Restarts, LastExit: &ended, LogStart: st.LogStart, Final: true}
				})
				return
			}
		}
		wait := delay.next()
		s.set(func(st *Status) {
			next := Status{State: Waiting, Since: time.Now(), Restarts: st.Restarts, LastExit: st.LastExit, LogStart: st.LogStart}
			next.NextStart = next.Since.Add(wait)
			if err != nil {
				kind := errs.KindOf(err)
				next.Err, next.Final = printer.Error(err), kind == errs.Invalid || kind == errs.NotFound
			} else {
				next.LastExit = &ended
			}
			*st = next
		})
		if err != nil {
			s.log.Warn("service does not start", "error", err, "wait", wait)
		} else {
			s.log.Warn("service ended", "exit", ended.String(), "wait", wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			s.quit(ctx)
			return
		}
	}
}

// finished reports whether the instance has done its work already, and its policy wants no other run:
// neither a new agent nor a new generation that has it as it was makes it run again.
func (s *Supervisor) finished() bool {
	r, ok := s.rt.(Rememberer)
	if !ok {
		return false
	}
	ended, info, ok := r.Ended(s.inst)
	if !ok || s.restarts(ended) {
		return false
	}
	s.log.Info("service has ended before", "exit", ended.String(), "at", ended.At)
	s.set(func(st *Status) {
		*st = Status{State: Ended, Since: ended.At, LastExit: &ended, LogStart: info.LogStart, Final: true}
	})
	return true
}

// obtain returns the running process: an adopted one where there is one. Even when the supervisor
// is to end already, the first call looks for one: a Stop that comes at once is to end it.
func (s *Supervisor) obtain(ctx context.Context, first bool) (Process, error) {
	if ctx.Err() != nil && !first {
		return nil, ctx.Err()
	}
	s.set(func(st *Status) {
		next := Status{State: Starting, Since: time.Now(), Restarts: st.Restarts, LastExit: st.LastExit, LogStart: st.LogStart}
		if !first {
			next.Restarts++
		}
		*st = next
	})
	// Stop does not cut a start short: what the start is replacing would be
	// left running and called stopped.
	whole, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if !stopping(ctx) {
			cancel()
		}
	})()
	p, found := s.rt.Adopt(whole, s.inst)
	if !found {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var err error
		if p, err = s.rt.Start(whole, s.inst); err != nil {
			if at := fsx.NoExec(s.inst.Program); at != "" {
				err = errs.Hint(fmt.Errorf("%s is mounted noexec, so no program can be started there: %w", at, err), "mount -o remount,exec %s", at)
			}
			return nil, fmt.Errorf("start %s: %w", s.inst.Name, err)
		}
	}
	info := p.Info()
	s.set(func(st *Status) {
		*st = Status{State: Running, PID: p.PID(), Since: info.Since, Adopted: info.Adopted, Confined: info.Confined, LogStart: info.LogStart, Restarts: st.Restarts, LastExit: st.LastExit}
	})
	s.log.Info("service runs", "pid", p.PID(), "adopted", info.Adopted)
	for _, m := range info.Confined.Missing {
		s.log.Warn("service is less confined than it could be", "missing", m)
	}
	return p, nil
}

// attend watches p until it has ended (over) or the supervisor is to end. sick says why a check that goes
// on had it ended.
func (s *Supervisor) attend(ctx context.Context, p Process) (sick error, over bool) {
	rotator := newRotator(s.inst.Log, s.rotate)
	unwell := make(chan error, 1)
	if goesOn(s.inst) {
		watched, cancel := context.WithCancel(ctx)
		var wait sync.WaitGroup
		wait.Go(func() { live(watched, s.rt, s.inst, p.Info(), unwell) })
		defer wait.Wait()
		defer cancel()
	}
	for {
		tick := time.NewTimer(rotator.wait)
		if p.Info().KeepsLog {
			tick.Stop()
		}
		select {
		case <-p.Done():
			tick.Stop()
			return sick, true
		case <-ctx.Done():
			tick.Stop()
			s.leave(ctx, p)
			return nil, false
		case sick = <-unwell:
			tick.Stop()
			s.log.Warn("service is not well and is restarted", "error", sick)
			s.unwell(sick)
			if err := p.Stop(ctx, s.inst.StopTimeout()); err != nil && ctx.Err() == nil {
				s.log.Error("service does not stop", "error", err)
			}
		case <-tick.C:
			if err := rotator.check(); err != nil {
				s.log.Warn("log not rotated", "error", err)
			}
		}
	}
}

// leave ends the supervision of the running p, as the reason of ctx's end says.
func (s *Supervisor) leave(ctx context.Context, p Process) {
	if !stopping(ctx) {
		p.Release()
		s.set(func(st *Status) { st.State = Detached })
		return
	}
	s.set(func(st *Status) { st.State = Stopping })
	// Not ctx: it has ended, and the process must end all the same.
	err := p.Stop(context.WithoutCancel(ctx), s.inst.StopTimeout())
	s.mu.Lock()
	s.stopErr = err
	s.mu.Unlock()
	if err != nil {
		p.Release()
		s.log.Error("service does not stop", "error", err)
		return
	}
	ended := p.Exit()
	s.log.Info("service stopped", "exit", ended.String())
	s.set(func(st *Status) {
		*st = Status{State: Stopped, Since: time.Now(), Restarts: st.Restarts, LastExit: &ended, LogStart: st.LogStart, Final: true}
	})
}

// quit ends a supervisor that has no process.
func (s *Supervisor) quit(ctx context.Context) {
	state := Detached
	if stopping(ctx) {
		state = Stopped
	}
	s.set(func(st *Status) {
		*st = Status{State: state, Since: time.Now(), Restarts: st.Restarts, LastExit: st.LastExit, LogStart: st.LogStart, Final: true}
	})
}

// restarts reports whether the policy wants another start after e.
func (s *Supervisor) restarts(e Exit) bool {
	switch s.inst.Spec.Restart.Policy {
	case "never":
		return false
	case "on-failure":
		return !e.OK()
	}
	return true
}

// backoff is the wait before a restart: min, then twice as long each time, up to max.
type backoff struct{ min, max, last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = max(b.min, min(2*b.last, b.max))
	return b.last
}

func (b *backoff) reset() { b.last = 0 }
