package process

import (
	"context"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sweep ends what the service left behind when its leader ended, so that Done means that nothing of the run is left.
// It returns false when the process was released first.
func (p *proc) sweep() bool {
	left := p.left()
	if len(left) == 0 {
		return true
	}
	for _, s := range left {
		// Stop has told the group already, and some programs take a second SIGTERM as "at once".
		if s.group != p.rec.PID || !closed(p.stopping) {
			send(s, syscall.SIGTERM)
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

// left returns the living processes of the run: by session, group or mark. Session and group count because the leader
// was seen to end just now: its number is not another's yet.
func (p *proc) left() []stat {
	prefix := p.rec.Run + " "
	var list []stat
	_ = each(func(s stat) { // an unreadable /proc: the group was signalled, which is all that can be done
		if s.dead() {
			return
		}
		if s.session == p.rec.PID || s.group == p.rec.PID {
			list = append(list, s)
		} else if value, ok := environ(s.pid, runVar); ok && strings.HasPrefix(value, prefix) {
			list = append(list, s)
		}
	})
	return list
}

// end kills what left returns until nothing is left, and returns true; false when stop is closed first. Each round
// freezes everything it finds before it kills, so that a program that forks faster than /proc can be read runs dry.
func end(left func() []stat, stop <-chan struct{}) bool {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		list := left()
		if len(list) == 0 {
			return true
		}
		for _, s := range list {
			send(s, syscall.SIGSTOP)
		}
		for _, s := range list {
			send(s, syscall.SIGKILL)
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

// clearOut ends every process that carries the mark of the record at path, whatever its run: SIGTERM, then SIGKILL after
// timeout.
func clearOut(ctx context.Context, path string, timeout time.Duration) error {
	left := func() []stat {
		var list []stat
		_ = marked(path, func(s stat, _ record) { list = append(list, s) })
		return list
	}
	list := left()
	for _, s := range list {
		send(s, syscall.SIGTERM)
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

// send signals the very process of s, or nobody when it has ended.
func send(s stat, sig syscall.Signal) {
	fd, err := unix.PidfdOpen(s.pid, 0)
	if now, e := readStat(s.pid); e != nil || now.start != s.start {
		if err == nil {
			_ = unix.Close(fd)
		}
		return
	}
	if err != nil || unix.PidfdSendSignal(fd, sig, nil, 0) == unix.ENOSYS {
		_ = syscall.Kill(s.pid, sig) // no pidfd here: checked a moment ago is the best there is
	}
	if err == nil {
		_ = unix.Close(fd)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
