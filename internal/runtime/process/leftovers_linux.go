package process

import (
	"context"
	"strings"
	"syscall"
	"time"

	"overland/internal/procfs"
)

// endLeftovers ends what the service left behind when its leader ended, so that Done means that
// nothing of the run is left. It returns false when the process was released first.
func (p *proc) endLeftovers() bool {
	left := p.left()
	if len(left) == 0 {
		return true
	}
	for _, s := range left {
		// Stop has told the group already, and some programs take a second SIGTERM as "at once".
		if s.Group != p.rec.PID || !closed(p.stopping) {
			s.Signal(syscall.SIGTERM)
		}
	}
	grace := time.NewTimer(p.late)
	defer grace.Stop()
	for wait := 5 * time.Millisecond; len(left) > 0; wait = min(2*wait, 200*time.Millisecond) {
		tick := time.NewTimer(wait)
		select {
		case <-tick.C:
		case <-p.released:
			tick.Stop()
			return false
		case <-p.kill:
			tick.Stop()
			return end(p.left, p.released)
		case <-grace.C:
			tick.Stop()
			return end(p.left, p.released)
		}
		left = p.left()
	}
	return true
}

// left returns the living processes of the run: by session, group or mark. Session and group count
// because the leader was seen to end just now: its number is not another's yet.
func (p *proc) left() []procfs.Process {
	prefix := p.rec.Run + " "
	var list []procfs.Process
	_ = procfs.Each(func(s procfs.Process) { // an unreadable /proc: the group was signalled, which is all that can be done
		if s.Dead() {
			return
		}
		if s.Session == p.rec.PID || s.Group == p.rec.PID {
			list = append(list, s)
		} else if value, ok := environ(s.PID, runVar); ok && strings.HasPrefix(value, prefix) {
			list = append(list, s)
		}
	})
	return list
}

// end kills what left returns until nothing is left, and returns true; false when stop is closed
// first. Each round freezes everything it finds before it kills, so that a program that forks
// faster than /proc can be read runs dry.
func end(left func() []procfs.Process, stop <-chan struct{}) bool {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		list := left()
		if len(list) == 0 {
			return true
		}
		for _, s := range list {
			s.Signal(syscall.SIGSTOP)
		}
		for _, s := range list {
			s.Signal(syscall.SIGKILL)
		}
		tick := time.NewTimer(wait)
		select {
		case <-tick.C:
		case <-stop:
			tick.Stop()
			return false
		}
	}
}

// clearOut ends every process that carries the mark of the record at path, whatever its run:
// SIGTERM, then SIGKILL after timeout.
func clearOut(ctx context.Context, path string, timeout time.Duration) error {
	left := func() []procfs.Process {
		var list []procfs.Process
		_ = marked(path, func(s procfs.Process, _ record) { list = append(list, s) })
		return list
	}
	list := left()
	for _, s := range list {
		s.Signal(syscall.SIGTERM)
	}
	grace := time.NewTimer(timeout)
	defer grace.Stop()
	for wait := 5 * time.Millisecond; len(list) > 0; wait = min(2*wait, 200*time.Millisecond) {
		tick := time.NewTimer(wait)
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return ctx.Err()
		case <-grace.C:
			tick.Stop()
			if !end(left, ctx.Done()) {
				return ctx.Err()
			}
			return nil
		}
		list = left()
	}
	return nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
