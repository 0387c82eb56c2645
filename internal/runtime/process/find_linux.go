package process

import (
	"os"
	"strconv"
	"time"

	"overland/internal/procfs"
)

// marked calls visit with every living process whose mark names the record
// at path, whichever run it is of.
func marked(path string, visit func(s procfs.Process, r record)) error {
	return procfs.Each(func(s procfs.Process) {
		if s.Dead() {
			return
		}
		value, ok := environ(s.PID, runVar)
		if !ok {
			return
		}
		run, instance, file, ok := parseMark(value)
		if ok && file == path && sameRoot(s.PID) {
			visit(s, record{Schema: 1, Run: run, Instance: instance, PID: s.PID, Start: s.Start, Boot: bootID()})
		}
	})
}

// find returns the record of the living process that runs what is recorded at path: by the record
// or, when an agent was killed before it could write one or the file is damaged, by the
// processes' marks. The caller holds the record's lock, so no child is between fork and exec: it
// would hold the lock's descriptor too.
func find(path string) (record, bool) {
	r, known := readRecord(path)
	if known && r.alive() {
		return r, true
	}
	var best record
	err := marked(path, func(s procfs.Process, m record) {
		// Only a session leader was started by an agent. One of the recorded run
		// is what a service left behind.
		if s.Session != s.PID || (known && r.PID != 0 && r.Run == m.Run) {
			return
		}
		if best.PID == 0 || m.Start < best.Start {
			best = m
		}
	})
	if err != nil || best.PID == 0 {
		return record{}, false
	}
	if known && r.Run == best.Run {
		best.Name, best.Program, best.Since, best.LogStart = r.Name, r.Program, r.Since, r.LogStart
	} else {
		best.Since = startTime(best.PID)
	}
	return best, true
}

// startTime returns when pid started, as well as it can be told: its folder in /proc
// carries that time on most kernels.
func startTime(pid int) time.Time {
	info, err := os.Stat("/proc/" + strconv.Itoa(pid))
	if err != nil {
		return time.Now()
	}
	return info.ModTime()
}
