package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
)

// Supervisor keeps the agent of one node running. It is small on purpose: it is the only part of
// Overland that an upgrade cannot replace while it runs.
type Supervisor struct {
	Slots Slots
	// Args follow the program's name: "run", "--state", DIR, …
	Args []string
	// MinWait and MaxWait bound the wait before an agent that ended is started
	// again; it doubles from one to the other and starts over when the agent stayed
	// up for MaxWait. 0 = 1 s and 1 min.
	MinWait, MaxWait time.Duration
	// StopTimeout is how long the agent may take to end after SIGTERM
	// before it is killed. 0 = 90 s.
	StopTimeout time.Duration
	// Silence is how long an agent that gave signs of life may give none before it is killed and
	// started again; a fifth of it is added, in case it was the machine that stood still. 0 =
	// what SilenceEnv says, else 10 min.
	Silence time.Duration
	Log     *slog.Logger // nil = none
	// Stderr receives what the agent writes to both outputs; nil = this process's.
	Stderr *os.File
}

// Run starts the agent and starts it again whenever it ends, until ctx is done; then it passes
// SIGTERM on, waits for the agent and returns nil. Services are left alone: whether they stop too
// is up to Args. Orphans are reaped meanwhile.
//
// Run takes over SIGCHLD and every child of the process, so one process runs it once and
// starts nothing else. Without a program it waits for an installation. It returns an error that
// wraps fsx.ErrLocked when another supervisor has the same directory.
func (s *Supervisor) Run(ctx context.Context) error {
	if err := s.Slots.FS.Mkdir(s.Slots.path(), 0o755); err != nil {
		return err
	}
	s.Log = cmp.Or(s.Log, slog.New(slog.DiscardHandler))
	// PDEATHSIG goes off when the forking THREAD ends, so that thread must
	// live as long as the supervisor.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		s.Log.Warn("cannot reap orphans", "error", err)
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)
	for ctx.Err() == nil {
		lock, err := s.take(ctx, children)
		if lock == nil {
			return err
		}
		s.keep(ctx, children)
		if err := lock.Unlock(); err != nil {
			return err
		}
	}
	return nil
}

// take returns the supervisor's lock once there is a program to start, or nil when ctx ends. Until
// then an installation is waited for, which needs the node free: the power may have gone during the
// first one, and a container may start with an empty volume.
func (s *Supervisor) take(ctx context.Context, children <-chan os.Signal) (*fsx.Lock, error) {
	if s.Slots.startable() {
		lock, err := s.lock(ctx)
		if err != nil && ctx.Err() == nil {
			return nil, errs.E(errs.Conflict, fmt.Errorf("supervise: %w", err))
		}
		return lock, nil
	}
	waiting, err := fsx.TryLock(s.Slots.path(waitingName))
	if err != nil {
		return nil, errs.E(errs.Conflict, fmt.Errorf("supervise: %w", err))
	}
	defer waiting.Unlock()
	s.Slots.noteFailure("no agent is installed here; its supervisor waits for: sh FILE install")
	s.Log.Warn("no agent is installed here: waiting for an installation", "dir", s.Slots.Dir)
	const pause = 200 * time.Millisecond
	for ctx.Err() == nil {
		if s.Slots.startable() {
			lock, err := fsx.TryLock(s.Slots.path("lock"))
			if err == nil || !errors.Is(err, fsx.ErrLocked) {
				return lock, err
			}
		}
		s.idle(ctx, children, pause)
	}
	return nil, nil
}

// keep keeps an agent running until ctx ends or there is none to start.
func (s *Supervisor) keep(ctx context.Context, children <-chan os.Signal) {
	wait := cmp.Or(s.MinWait, time.Second)
	for ctx.Err() == nil && s.Slots.startable() {
		began := time.Now()
		pause := s.once(ctx, children)
		if time.Since(began) >= cmp.Or(s.MaxWait, time.Minute) {
			wait = cmp.Or(s.MinWait, time.Second)
		}
		if !pause {
			continue
		}
		s.idle(ctx, children, wait)
		wait = min(2*wait, cmp.Or(s.MaxWait, time.Minute))
	}
}

// lock takes the supervisor's lock. Install and status hold it for a moment to see whether a
// supervisor runs, so a lock that is busy is retried for a while.
func (s *Supervisor) lock(ctx context.Context) (*fsx.Lock, error) {
	const patience = 2 * time.Second
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	lock, err := fsx.AwaitLock(bounded, s.Slots.path("lock"))
	if errors.Is(err, fsx.ErrLocked) && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return lock, err
}

// idle waits for d, reaping.
func (s *Supervisor) idle(ctx context.Context, children <-chan os.Signal, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			return
		case <-children:
			reap(0)
		}
	}
}

// once runs one agent to its end and returns whether to wait before the next.
func (s *Supervisor) once(ctx context.Context, children <-chan os.Signal) (pause bool) {
	c, err := s.Slots.choose()
	if err != nil {
		s.Log.Error("cannot choose an agent", "error", err)
		s.Slots.noteFailure(err.Error())
		if c.slot == "" {
			return true
		}
	}
	a, err := s.start(c)
	if err != nil {
		s.Log.Error("cannot start the agent", "slot", c.slot, "error", err)
		s.Slots.noteFailure(err.Error())
		s.failed(c, fmt.Sprintf("it cannot be started: %v", err))
		return c.trial == nil
	}
	s.Log.Info("agent started", "slot", c.slot, "pid", a.pid, "trial", c.trial != nil)
	end := s.watch(ctx, children, a, c)
	a.close()
	switch {
	case ctx.Err() != nil && !end.proven && c.trial != nil:
		// An orderly stop is not the new version's fault: give the try back.
		c.trial.Tries++
		if err := s.Slots.writeIntent(*c.trial); err != nil {
			s.Log.Error("cannot give a try back", "error", err)
		}
		return false
	case !end.proven && c.trial != nil:
		s.Log.Error("new agent failed a try", "slot", c.slot, "reason", end.reason, "left", c.trial.Tries)
		s.failed(c, end.reason)
		return false
	case end.status.ExitStatus() == ExitSwitch:
		s.Log.Info("agent asks to be switched", "slot", c.slot)
		return !s.Slots.hasIntent()
	}
	if ctx.Err() == nil {
		s.Log.Warn("agent ended", "slot", c.slot, "reason", end.reason)
		if end.quick && s.Slots.damaged(c.slot) {
			s.failed(c, "its program is damaged on the disk")
		}
	}
	return true
}

// failed records why a try failed, and takes a damaged or unstartable
// version out when another can run.
func (s *Supervisor) failed(c choice, reason string) {
	if c.trial != nil {
		c.trial.Reason = reason
		if err := s.Slots.writeIntent(*c.trial); err != nil {
			s.Log.Error("cannot record a failed try", "error", err)
		}
		return
	}
	for _, other := range s.Slots.list() {
		if _, refused := s.Slots.refused(other); other != c.slot && !refused && s.Slots.runnable(other) {
			if err := s.Slots.refuse(nodeapi.RefusedVersion{Slot: c.slot, Reason: reason}); err != nil {
				s.Log.Error("cannot refuse an agent", "slot", c.slot, "error", err)
			}
			return
		}
	}
}

// child is one running agent.
type child struct {
	pid   int
	ready chan bool     // one value: whether it reported ready before it closed the pipe
	beats chan struct{} // signs of life after that; closed with the pipe
	pipe  *os.File
	out   *output
}

// close ends the reading of the pipe and waits for the reader.
func (a *child) close() {
	a.pipe.Close()
	for range a.ready {
	}
}

func (s *Supervisor) start(c choice) (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	defer null.Close()
	words, out, err := newOutput(s.Slots.Dir, cmp.Or(s.Stderr, os.Stderr))
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	defer out.Close()
	program := s.Slots.path(string(c.slot), Program)
	pid, err := syscall.ForkExec(program, append([]string{Program}, s.Args...), &syscall.ProcAttr{
		Dir:   s.Slots.Dir,
		Env:   append(environ.Child(), readyEnv+"=3"),
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd(), w.Fd()},
		// Without it the agent of a dead supervisor would keep the node's lock from the next one.
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return nil, errors.Join(Executable(s.Slots.Dir), fmt.Errorf("start %s: %w", program, err), r.Close())
	}
	a := &child{pid: pid, ready: make(chan bool, 1), beats: make(chan struct{}, 1), pipe: r, out: words}
	go func() {
		defer close(a.ready)
		defer close(a.beats)
		word := make([]byte, len(readyWord))
		_, err := io.ReadFull(r, word)
		a.ready <- err == nil && string(word) == readyWord
		for err == nil {
			if _, err = r.Read(word); err == nil {
				select {
				case a.beats <- struct{}{}:
				default:
				}
			}
		}
	}()
	return a, nil
}

// ending is how one agent's life went.
type ending struct {
	status syscall.WaitStatus
	proven bool // it reported ready and stayed up for stable
	quick  bool // it ended before it was proven
	reason string
}

// watch waits for the agent to end. A trial that does not become ready in time is killed;
// one that stays up is committed.
func (s *Supervisor) watch(ctx context.Context, children <-chan os.Signal, a *child, c choice) ending {
	ready, stable := DefaultReady, DefaultStable
	if c.trial != nil {
		ready, stable = c.trial.Ready.Or(ready), c.trial.Stable.Or(stable)
	}
	var (
		e        ending
		reported = a.ready
		done     = ctx.Done()
		timer    = time.NewTimer(ready)
		isReady  bool
		stopping bool
		beats    = a.beats
		limit    = cmp.Or(s.Silence, silence())
		quiet    = time.NewTimer(limit)
		warned   bool
	)
	defer timer.Stop()
	defer quiet.Stop()
	quiet.Stop() // until the first sign of life: an older agent gives none
	for {
		select {
		case <-children:
			status, ended := reap(a.pid)
			if !ended {
				continue
			}
			if reported != nil { // the report and the end may have come together
				_ = a.pipe.SetReadDeadline(time.Now().Add(time.Second))
				isReady = <-reported
			}
			e.status, e.quick = status, !e.proven
			if e.reason == "" {
				e.reason = describe(status, isReady)
			}
			if last := a.out.words(); !isReady && last != "" {
				e.reason += "; it said: " + last
			}
			if !isReady && !stopping {
				s.Slots.noteFailure(e.reason)
			}
			return e
		case ok, open := <-reported:
			reported = nil
			if ok && open && !stopping {
				isReady = true
				s.Slots.noteFailure("")
				timer.Reset(stable)
			}
		case _, open := <-beats:
			if warned = false; open && !stopping {
				quiet.Reset(limit)
			} else {
				beats = nil
				quiet.Stop()
			}
		case <-quiet.C:
			if !warned {
				s.Log.Warn("agent gives no sign of life", "pid", a.pid, "for", limit)
				warned = true
				quiet.Reset(limit / 5)
				continue
			}
			e.reason = fmt.Sprintf("it hung: no sign of life for %s", limit)
			kill(a.pid, syscall.SIGKILL)
		case <-done:
			done, stopping = nil, true
			quiet.Stop()
			kill(a.pid, syscall.SIGTERM)
			timer.Reset(cmp.Or(s.StopTimeout, 90*time.Second))
		case <-timer.C:
			switch {
			case stopping:
				s.Log.Warn("agent does not end and is killed", "pid", a.pid)
				kill(a.pid, syscall.SIGKILL)
			case isReady:
				e.proven = true
				s.commit(c)
			case c.trial != nil:
				e.reason = fmt.Sprintf("it did not report ready within %s", ready)
				kill(a.pid, syscall.SIGKILL)
			default: // slow, but the only one there is
				s.Log.Warn("agent is not ready yet", "pid", a.pid, "after", ready)
			}
		}
	}
}

func (s *Supervisor) commit(c choice) {
	if c.trial == nil {
		return
	}
	if err := s.Slots.commit(c.slot); err != nil {
		s.Log.Error("cannot mark the new agent good", "slot", c.slot, "error", err)
		return
	}
	s.Log.Info("new agent is good", "slot", c.slot)
}

func describe(status syscall.WaitStatus, ready bool) string {
	when := "before it was ready"
	if ready {
		when = "after it was ready"
	}
	if status.Signaled() {
		return fmt.Sprintf("it was ended by signal %d (%s) %s", status.Signal(), status.Signal(), when)
	}
	return fmt.Sprintf("it ended with exit code %d %s", status.ExitStatus(), when)
}

// reap collects every child that has ended, and returns the status of pid when it is one of them.
func reap(pid int) (status syscall.WaitStatus, ended bool) {
	for {
		var st syscall.WaitStatus
		switch got, err := syscall.Wait4(-1, &st, syscall.WNOHANG, nil); {
		case errors.Is(err, syscall.EINTR):
		case err != nil || got <= 0:
			return status, ended
		case got == pid && (st.Exited() || st.Signaled()):
			status, ended = st, true
		}
	}
}

// kill signals a child that was not reaped yet, so its id cannot be another's.
func kill(pid int, sig syscall.Signal) { _ = syscall.Kill(pid, sig) }
