package process

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/procfs"
)

// oldZombie is how long an unwatched dead child is left to os/exec,
// which may be about to wait for it.
const oldZombie = 2 * time.Second

// Reap collects, until ctx ends, the zombies that others left to this process: needed where it is
// process 1 or a subreaper. It never takes the exit status of a watched process, nor that of a
// child that some Wait of this program is waiting for: such a zombie is gone long before oldZombie.
func (r *Runtime) Reap(ctx context.Context) error {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	old := map[int]uint64{} // zombies of the last look: pid → start
	look := time.NewTimer(0)
	defer look.Stop()
	waiting := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-died:
			if !waiting {
				look.Reset(r.zombieAge)
				waiting = true
			}
		case <-look.C:
			old = r.reap(old)
			if waiting = len(old) > 0; waiting {
				look.Reset(r.zombieAge)
			}
		}
	}
}

// reap collects the zombies that were already there the last time, and returns the others.
func (r *Runtime) reap(old map[int]uint64) map[int]uint64 {
	fresh := map[int]uint64{}
	self := os.Getpid()
	err := procfs.Each(func(s procfs.Process) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if s.Parent != self || s.State != 'Z' || r.pids[s.PID] > 0 {
			return
		}
		if start, seen := old[s.PID]; !seen || start != s.Start {
			fresh[s.PID] = s.Start
			return
		}
		if _, err := syscall.Wait4(s.PID, nil, syscall.WNOHANG, nil); err != nil {
			r.log.Warn("zombie not collected", "pid", s.PID, "error", err)
			return
		}
		r.log.Debug("zombie collected", "pid", s.PID)
	})
	if err != nil {
		r.log.Warn("zombies not looked for", "error", err)
	}
	return fresh
}

// Subreaper makes this process the parent of its descendants' orphans.
func Subreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	return nil
}
