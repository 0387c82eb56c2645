package process

import (
	"context"
	"strings"
	"syscall"
	"time"

	"overland/internal/confine"
	"overland/internal/procfs"
)

// endLeftovers ends what the service left behind when its leader ended, so that Done means that
// nothing of the run is left. It returns false when the process was released first.
func (p *proc) endLeftovers() bool {
	left := p.left()
	if len(left) == 0 {
		return true
	}
	p.behind = p.remains()
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

// remains reports whether the service, which ended by itself, still has processes after a moment:
// helpers of one that is done may need one to end.
func (p *proc) remains() bool {
	const tries, pause = 10, 5 * time.Millisecond
	for range tries {
		select {
		case <-p.stopping:
			return false
		case <-p.released:
			return false
		case <-time.After(pause):
		}
		if len(p.left()) == 0 {
			return false
		}
	}
	return !closed(p.stopping)
}

// left returns the living processes of the run. Session and group count because the leader was seen
// to end just now: its number is not another's yet.
func (p *proc) left() []procfs.Process {
	return p.rec.family()
}

// family returns the living processes of the run of r, which lives or was seen to end just now.
func (r record) family() []procfs.Process {
	return r.left(func(s procfs.Process) bool { return s.Session == r.PID || s.Group == r.PID })
}

// left returns the living processes of the run of r, and those that also counts in: by the
// run's control group or, where the machine gives none, by the run id that only they know.
func (r record) left(also func(procfs.Process) bool) []procfs.Process {
	var list []procfs.Process
	if r.Group != "" {
		for _, pid := range confine.FindGroup(r.Group).Processes() {
			if s, err := procfs.Read(pid); err == nil && !s.Dead() {
				list = append(list, s)
			}
		}
		return list
	}
	_ = procfs.Each(func(s procfs.Process) { // an unreadable /proc: the group was signalled, which is all that can be done
		if s.Dead() {
			return
		}
		if also(s) {
			list = append(list, s)
		} else if value, ok := environ(s.PID, runVar); ok && strings.HasPrefix(value, r.Run+" ") && r.owns(s.PID) {
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

// clearOut ends what is left of the runs that the record at path or a control group of its names:
// SIGTERM, then SIGKILL after timeout.
func clearOut(ctx context.Context, path string, timeout time.Duration) error {
	runs := namedRuns(path)
	defer func() {
		for _, r := range runs {
			confine.FindGroup(r.Group).Remove()
		}
	}()
	left := func() []procfs.Process {
		var list []procfs.Process
		for _, r := range runs {
			list = append(list, r.left(func(procfs.Process) bool { return false })...)
		}
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

// namedRuns returns the runs of which something may be left.
func namedRuns(path string) (list []record) {
	rec, known := readRecord(path)
	if known {
		list = append(list, rec)
	}
	for _, name := range confine.FindGroups(groupPrefix(path)) {
		if !known || name != rec.Group {
			list = append(list, record{Group: name})
		}
	}
	return list
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
