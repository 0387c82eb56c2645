package process

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A dead child is left to a Wait that may be about to take it, collected at the next look, and never while
// it is watched: its exit status is wanted.
func TestWhichZombiesAreCollected(t *testing.T) {
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	r := New(Options{})
	look := func(before map[int]uint64) map[int]uint64 {
		mine := map[int]uint64{}
		if start, ok := r.reap(before)[pid]; ok {
			mine[pid] = start
		}
		return mine
	}
	seen := look(nil)
	if len(seen) != 1 {
		t.Fatal("it was collected at once")
	}
	if other := look(map[int]uint64{pid: seen[pid] + 1}); len(other) != 1 {
		t.Error("it was taken for another that had the number before")
	}
	r.watching(pid, +1)
	if look(seen); unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) != nil {
		t.Fatal("a watched one was collected")
	}
	r.watching(pid, -1)
	if look(seen); unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG, nil) != unix.ECHILD {
		t.Error("it was not collected")
	}
}
