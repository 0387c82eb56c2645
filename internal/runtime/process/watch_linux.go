package process

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/confine"
	"overland/internal/errs"
	"overland/internal/procfs"
	"overland/internal/runtime"
)

// proc is a process being watched.
type proc struct {
	r      *Runtime
	path   string // of the record
	rec    record
	info   runtime.Info
	limits confine.Limits
	late   time.Duration // how long what the service leaves behind may take to end
	fd     *os.File      // pidfd; nil = poll

	stopping chan struct{} // closed by the first Stop
	kill     chan struct{} // closed when the service had enough time to end by itself
	released chan struct{}
	once     struct{ stop, kill, release sync.Once }
	watched  chan struct{} // closed when the watching goroutine has ended

	done chan struct{}
	exit runtime.Exit // before done is closed

	behind bool // it ended by itself and left something behind
}

// watch starts watching the process of rec.
func (r *Runtime) watch(path string, rec record, late time.Duration, adopted bool) *proc {
	p := &proc{
		r: r, path: path, rec: rec, late: late, limits: rec.Limits,
		info:     runtime.Info{Since: rec.Since, LogStart: rec.LogStart, Adopted: adopted, KeepsLog: rec.KeepsLog, Confined: rec.Confined},
		stopping: make(chan struct{}), kill: make(chan struct{}), released: make(chan struct{}),
		watched: make(chan struct{}), done: make(chan struct{}),
	}
	if !r.noPidfd {
		p.fd = openPidfd(rec)
	}
	r.watching(rec.PID, +1)
	go p.run()
	return p
}

func (p *proc) PID() int              { return p.rec.PID }
func (p *proc) Info() runtime.Info    { return p.info }
func (p *proc) Done() <-chan struct{} { return p.done }

// Exit waits for Done, so that it cannot be read too early.
func (p *proc) Exit() runtime.Exit {
	<-p.done
	return p.exit
}

// Release implements runtime.Process.
func (p *proc) Release() {
	p.once.release.Do(func() {
		close(p.released)
		if p.fd != nil {
			_ = p.fd.SetReadDeadline(time.Unix(1, 0)) // wakes awaitPidfd; where it cannot, awaitLeader polls
		}
	})
	<-p.watched
}

// unkillable is how long a killed process may take to vanish: the kernel
// may be writing out its memory.
const unkillable = 20 * time.Second

// Stop implements runtime.Process.
func (p *proc) Stop(ctx context.Context, timeout time.Duration) error {
	p.once.stop.Do(func() {
		close(p.stopping)
		p.signalGroup(syscall.SIGTERM)
		p.signalGroup(syscall.SIGCONT) // a frozen process could not hear
	})
	grace := time.NewTimer(timeout)
	defer grace.Stop()
	select {
	case <-p.done:
		return nil
	case <-p.released:
		return errs.Errorf(errs.Conflict, "stop process %d: it is no longer watched", p.rec.PID)
	case <-ctx.Done():
		return ctx.Err()
	case <-grace.C:
	}
	p.once.kill.Do(func() { close(p.kill) })
	p.signalGroup(syscall.SIGKILL)
	last := time.NewTimer(unkillable)
	defer last.Stop()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-last.C:
		return errs.Hint(errs.Errorf(errs.Unavailable, "stop process %d: it was killed and does not end", p.rec.PID),
			"it hangs in the kernel, as a rule on a dead disk; see: cat /proc/%d/stack", p.rec.PID)
	}
}

// signalGroup signals the process group while its leader proves that it is still the recorded one.
func (p *proc) signalGroup(sig syscall.Signal) {
	// A dead leader that is not reaped still pins the number.
	if s, err := procfs.Read(p.rec.PID); err == nil && s.Start == p.rec.Start {
		_ = syscall.Kill(-p.rec.PID, sig) // no such group: it just ended, which Done tells
	}
}

// run is the watching goroutine: it waits for the leader, then for what it left
// behind, then collects the status.
func (p *proc) run() {
	defer close(p.watched)
	defer p.r.watching(p.rec.PID, -1)
	if p.fd != nil {
		defer p.fd.Close()
	}
	if !p.awaitLeader() || !p.endLeftovers() {
		return
	}
	p.exit = p.collect()
	p.exit.Left = p.exit.Left || p.behind
	if now, ok := readRecord(p.path); ok && now.Run == p.rec.Run && !p.remember() {
		if err := p.r.o.FS.Remove(p.path); err != nil {
			p.r.log.Warn("record not removed", "record", p.path, "error", err) // a stale one proves nothing
		}
	}
	close(p.done)
}

// awaitLeader returns true when the leader has ended, false when the process was released.
func (p *proc) awaitLeader() bool {
	if p.fd != nil {
		if ended, err := p.awaitPidfd(); err == nil {
			return ended
		}
	}
	const shortest, longest = 5 * time.Millisecond, 500 * time.Millisecond
	wait, hurry := shortest, p.stopping
	for p.rec.living() {
		tick := time.NewTimer(wait)
		select {
		case <-tick.C:
			wait = min(wait+wait/4, longest)
		case <-hurry:
			wait, hurry = shortest, nil
		case <-p.released:
			tick.Stop()
			return false
		}
		tick.Stop()
	}
	return true
}

// awaitPidfd waits in the Go runtime's poller: no thread, no ticks. After an
// error the caller polls instead.
func (p *proc) awaitPidfd() (ended bool, err error) {
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return false, err
	}
	err = conn.Read(func(fd uintptr) bool {
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} // a descriptor is small
		n, err := unix.Poll(set, 0)
		for err == unix.EINTR {
			n, err = unix.Poll(set, 0)
		}
		ended = err == nil && n > 0
		return ended
	})
	if err != nil && closed(p.released) {
		return false, nil
	}
	return ended, err
}

// openPidfd returns a descriptor of the process of rec that can be polled, or nil where the kernel
// (or an emulator) has none or the process is not that one any more.
func openPidfd(rec record) *os.File {
	fd, err := unix.PidfdOpen(rec.PID, 0)
	if err != nil {
		return nil
	}
	// Only now is the number pinned: it may have been another process's at the time of the open.
	if s, err := procfs.Read(rec.PID); err != nil || s.Start != rec.Start || unix.SetNonblock(fd, true) != nil {
		_ = unix.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), "pidfd")
}

// collect returns how the service ended: what its keeper wrote, else what the kernel tells about the
// process. The run's control group goes.
func (p *proc) collect() runtime.Exit {
	e := collectChild(p.rec.PID)
	if x, ok := confine.ReadExit(exitPath(p.path)); ok && (p.rec.Confined.Apart || p.rec.KeepsLog) {
		e = exitOf(x, e.At)
	}
	if g := confine.FindGroup(p.rec.Group); p.rec.Group != "" {
		if reached := g.Reached(p.limits); reached != nil && !e.OK() {
			e.Limit = reached.Error()
		}
		g.Remove()
	}
	return e
}

// remember leaves the record, and how the run ended, for Ended: of a service that did its work, and was
// not stopped.
func (p *proc) remember() bool {
	if closed(p.stopping) || !p.exit.OK() {
		return false
	}
	if _, ok := confine.ReadExit(exitPath(p.path)); ok {
		return true // its keeper said it
	}
	b, err := json.Marshal(confine.Exit{})
	return err == nil && p.r.o.FS.WriteFile(exitPath(p.path), b, 0o600) == nil
}

// Ended implements runtime.Rememberer: by the record, which outlives a run that ended well, and the
// word of its keeper, who needs no agent for it.
func (r *Runtime) Ended(i runtime.Instance) (runtime.Exit, runtime.Info, bool) {
	rec, ok := readRecord(i.Record)
	if !ok || rec.PID == 0 || !rec.runs(i) || rec.alive() {
		return runtime.Exit{}, runtime.Info{}, false
	}
	x, ok := confine.ReadExit(exitPath(i.Record))
	info, err := os.Stat(exitPath(i.Record))
	if !ok || err != nil {
		return runtime.Exit{}, runtime.Info{}, false
	}
	e := exitOf(x, info.ModTime())
	return e, runtime.Info{Since: rec.Since, LogStart: rec.LogStart, Confined: rec.Confined}, e.OK()
}

// Forget implements runtime.Rememberer.
func (r *Runtime) Forget(i runtime.Instance) error { return r.o.FS.Remove(exitPath(i.Record)) }

// exitPath returns the file that the keeper of what is recorded at path writes the exit into.
func exitPath(path string) string { return path + ".exit" }

// exitOf returns x, in which the code of a signal is a shell's.
func exitOf(x confine.Exit, at time.Time) runtime.Exit {
	e := runtime.Exit{Known: true, Code: x.Code, Signal: syscall.Signal(x.Signal), At: at, Left: x.Left}
	if x.Signal != 0 {
		e.Code = 0
	}
	return e
}

// collectChild takes the exit status of a process that has ended, when it is our child.
func collectChild(pid int) runtime.Exit {
	e := runtime.Exit{At: time.Now()}
	var ws syscall.WaitStatus
	got, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, nil)
	for err == syscall.EINTR {
		got, err = syscall.Wait4(pid, &ws, syscall.WNOHANG, nil)
	}
	if err != nil || got != pid {
		return e // another's child: its parent has the status
	}
	e.Known = true
	if ws.Signaled() {
		e.Signal = ws.Signal()
	} else {
		e.Code = ws.ExitStatus()
	}
	return e
}
