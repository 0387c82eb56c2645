package process

import (
	"os"
	"strings"
	"time"

	"overland/internal/confine"
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

// Count returns how many services run under the record at path, with all that they started, but for
// keepers.
func Count(path string) (n int) {
	_ = procfs.Each(func(s procfs.Process) {
		if value, ok := environ(s.PID, runVar); ok && !s.Dead() && strings.HasSuffix(value, " "+path) {
			n++
		}
	})
	return n
}

// EndAll ends whatever runs under the record at path.
func EndAll(path string) {
	end(func() (list []procfs.Process) {
		_ = procfs.Each(func(s procfs.Process) {
			if value, ok := environ(s.PID, runVar); ok && !s.Dead() && strings.HasSuffix(value, " "+path) {
				list = append(list, s)
			}
		})
		return list
	}, nil)
	for _, name := range confine.FindGroups(groupPrefix(path)) {
		g := confine.FindGroup(name)
		end(func() (list []procfs.Process) {
			for _, pid := range g.Processes() {
				if s, err := procfs.Read(pid); err == nil && !s.Dead() {
					list = append(list, s)
				}
			}
			return list
		}, nil)
		g.Remove()
	}
}

// PlayUngrouped makes r do without control groups.
func (r *Runtime) PlayUngrouped(without bool) { r.noGroups = without }

// PlayOld makes r do without pidfd.
func (r *Runtime) PlayOld(old bool) { r.noPidfd = old }

// SetZombieAge changes when Reap collects a zombie that nobody waits for.
func (r *Runtime) SetZombieAge(d time.Duration) { r.zombieAge = d }

// Pidfd returns the pidfd of p, nil for none.
func Pidfd(p runtime.Process) *os.File { return p.(*proc).fd }

var _ runtime.Process = (*proc)(nil)

// StartOf returns the kernel's start time of pid.
func StartOf(pid int) uint64 {
	s, _ := procfs.Read(pid)
	return s.Start
}

// NameServers are the mounts that show the list of name servers conf, which lies in the folder closed.
func NameServers(conf, closed string) []confine.Mount {
	return nameServers(conf, map[string]bool{closed: true})
}
