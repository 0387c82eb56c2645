package confine

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"overland/internal/fsx"
	"overland/internal/procfs"
)

const (
	// often is how long to wait between two checks of a confined command.
	often = 200 * time.Millisecond
	// share bounds the time that walking its files takes: one part in share of the whole.
	share = 20
	// reserve is what a command with a limit leaves free on a disk, in bytes: a file that it has
	// removed and keeps open is in no folder.
	reserve = 256 << 20
	// block is what a file counts for at least, in bytes: a disk can run out of inodes too.
	block = 4096
)

// watch ends the command when it uses more than a limit that the kernel does not hold for it.
func (p *Process) watch(s Spec, d *disk) {
	polled := p.group == nil && s.Group == nil && (s.Limits.Memory > 0 || s.Limits.Processes > 0)
	if d == nil && !polled {
		return
	}
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		err := d.reached()
		if err == nil && polled {
			err = using(p.PID(), s.Limits)
		}
		if err != nil {
			p.cancel(err)
			return
		}
	}
}

// disk is what a command may write to.
type disk struct {
	limit   int64
	folders []string
	before  int64 // bytes in them when it began
	last    int64 // bytes by which they had grown
	free    int64 // bytes that were free then, on all of their disks together
	roomy   bool  // more than the reserve was free when it began
	next    time.Time
}

// newDisk returns the writable folders of s; nil when there is no limit.
func newDisk(s Spec) *disk {
	if s.Limits.Disk == 0 {
		return nil
	}
	d := &disk{limit: s.Limits.Disk}
	for _, m := range s.Mounts {
		if m.Kind == Bind && m.Writable {
			d.folders = append(d.folders, m.Source)
		}
	}
	slices.Sort(d.folders)
	var top []string
	for _, f := range d.folders {
		if n := len(top); n == 0 || (f != top[n-1] && !strings.HasPrefix(f, top[n-1]+"/")) {
			top = append(top, f)
		}
	}
	d.folders = top
	return d
}

// measure notes what there is. The command must not run yet: what it writes meanwhile would not count.
func (d *disk) measure() {
	if d != nil {
		d.before = d.size()
		var least int64
		d.free, least = d.room()
		d.roomy = least >= reserve
	}
}

// reached returns a *LimitError when the folders have grown over the limit. They are walked rarely,
// unless so much was written to their disks meanwhile that it may be.
func (d *disk) reached() error {
	if d == nil {
		return nil
	}
	free, least := d.room()
	if d.roomy && least < reserve {
		return &LimitError{"disk", size(reserve) + " left free"}
	}
	if time.Now().Before(d.next) && d.last+d.free-free <= d.limit {
		return nil
	}
	start := time.Now()
	d.last, d.free = d.size()-d.before, free
	d.next = time.Now().Add(max(often, share*time.Since(start)))
	if d.last > d.limit {
		return &LimitError{"disk", size(d.limit)}
	}
	return nil
}

// full returns a *LimitError when a command that has failed may have done so because of the limit: a
// file that would be larger than it cannot be written.
func (d *disk) full() error {
	if d != nil && d.size()-d.before >= d.limit {
		return &LimitError{"disk", size(d.limit)}
	}
	return nil
}

// size returns the bytes that the folders take.
func (d *disk) size() (n int64) {
	for _, dir := range d.folders {
		_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
			if err == nil { // else it is gone, or closed to us
				n += taken(e)
			}
			return nil
		})
	}
	return n
}

// taken returns the bytes that a file takes.
func taken(e fs.DirEntry) int64 {
	info, err := e.Info()
	if err != nil || !e.Type().IsRegular() {
		return block
	}
	const unit = 512 // bytes, whatever the disk's blocks are
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return max(st.Blocks*unit, block)
	}
	return max(info.Size(), block)
}

// room returns the bytes that are free on the folders' disks: all together, and on the fullest.
func (d *disk) room() (all, least int64) {
	least = 1 << 62
	for _, dir := range d.folders {
		if free, err := fsx.Free(dir); err == nil {
			all, least = all+free, min(least, free)
		}
	}
	return all, least
}

// using returns a *LimitError when the processes below pid use more than l allows together. Where
// there is no control group, the kernel limits only each process by itself.
func using(pid int, l Limits) error {
	var threads int
	var memory int64
	for _, p := range procfs.Below(pid) {
		threads += p.Threads
		memory += private(p.PID)
	}
	switch {
	case l.Processes > 0 && threads > l.Processes:
		return &LimitError{"processes", strconv.Itoa(l.Processes)}
	case l.Memory > 0 && memory > l.Memory:
		return &LimitError{"memory", size(l.Memory)}
	}
	return nil
}

// private returns the bytes of memory that a process shares with nobody.
func private(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	f := strings.Fields(string(b))
	const resident, shared = 1, 2
	if err != nil || len(f) <= shared {
		return 0
	}
	r, _ := strconv.ParseInt(f[resident], 10, 64)
	s, _ := strconv.ParseInt(f[shared], 10, 64)
	return (r - s) * int64(os.Getpagesize())
}
