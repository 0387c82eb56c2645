package procfs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Process is what /proc/PID/stat says of a process.
type Process struct {
	PID, Parent, Group, Session int
	State                       byte // R S D T … ; Z and X are dead
	Threads                     int
	Start                       uint64 // clock ticks after boot: with the PID, names one process of one boot
}

// Dead reports whether nothing of the process runs any more. A first thread that ended before the
// others looks like a zombie too.
func (p Process) Dead() bool {
	return (p.State == 'Z' && p.Threads <= 1) || p.State == 'X' || p.State == 'x'
}

// Signal signals the very process p, or nobody when it has ended.
func (p Process) Signal(sig syscall.Signal) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if now, e := Read(p.PID); e != nil || now.Start != p.Start {
		if err == nil {
			_ = unix.Close(fd)
		}
		return
	}
	if err != nil || unix.PidfdSendSignal(fd, sig, nil, 0) == unix.ENOSYS {
		_ = syscall.Kill(p.PID, sig) // no pidfd here: checked a moment ago is the best there is
	}
	if err == nil {
		_ = unix.Close(fd)
	}
}

// Read returns the process pid, or an error when there is none.
func Read(pid int) (Process, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat") // the kernel keeps it to one line
	if err != nil {
		return Process{}, err
	}
	p, err := parse(b)
	p.PID = pid
	return p, err
}

var errStat = errors.New("unreadable process stat")

// parse reads the text of /proc/PID/stat. The second field, the name,
// may hold spaces and parentheses.
func parse(b []byte) (Process, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return Process{}, errStat
	}
	const state, parent, group, session, threads, start = 0, 1, 2, 3, 17, 19 // proc(5)'s field number minus 3
	f := strings.Fields(string(b[end+1:]))
	if len(f) <= start || len(f[state]) != 1 || f[state][0] < 'A' || f[state][0] > 'z' {
		return Process{}, errStat
	}
	p := Process{State: f[state][0]}
	var errs [5]error
	p.Parent, errs[0] = strconv.Atoi(f[parent])
	p.Group, errs[1] = strconv.Atoi(f[group])
	p.Session, errs[2] = strconv.Atoi(f[session])
	p.Threads, errs[3] = strconv.Atoi(f[threads])
	p.Start, errs[4] = strconv.ParseUint(f[start], 10, 64)
	if errors.Join(errs[:]...) != nil {
		return Process{}, errStat
	}
	return p, nil
}

// Each calls visit with every process that can be seen. One that ends meanwhile is left out.
func Each(visit func(Process)) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		const some = 256
		names, err := dir.Readdirnames(some)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil {
				if p, err := Read(pid); err == nil {
					visit(p)
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
