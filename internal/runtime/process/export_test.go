package process

import (
	"os"
	"time"

	"overland/internal/fsx"
	"overland/internal/procfs"
	"overland/internal/runtime"
)

// What the tests know of the inside: the record, the mark of an instance's processes, and what
// differs on an old kernel.

// Record is what is kept about a running process.
type Record = record

var (
	NewRecord  = newRecord
	ReadRecord = readRecord
)

// Write writes r to path.
func (r record) Write(path string) error { return r.write(fsx.FS{}, path) }

// CountMarked returns how many processes carry the mark of the record at path.
func CountMarked(path string) (n int, err error) {
	err = marked(path, func(procfs.Process, record) { n++ })
	return n, err
}

// EndMarked ends all processes that carry the mark of the record at path.
func EndMarked(path string, stop <-chan struct{}) {
	end(func() (list []procfs.Process) {
		_ = marked(path, func(s procfs.Process, _ record) { list = append(list, s) })
		return list
	}, stop)
}

// PlayOld makes r do without pidfd.
func (r *Runtime) PlayOld(old bool) { r.noPidfd = old }

// SetZombieAge changes when Reap collects a zombie that nobody waits for.
func (r *Runtime) SetZombieAge(d time.Duration) { r.zombieAge = d }

// Pidfd returns the pidfd of p, nil for none.
func Pidfd(p runtime.Process) *os.File { return p.(*proc).fd }

var _ runtime.Process = (*proc)(nil)
