package process

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// stat is what /proc/PID/stat says of a process (proc(5)).
type stat struct {
	pid, parent, group, session int
	state                       byte // R S D T … ; Z and X are dead
	threads                     int
	start                       uint64 // clock ticks after boot: with the pid, names one process of one boot
}

// dead reports whether nothing of the process runs any more. A first thread that ended before the others looks like a
// zombie too.
func (s stat) dead() bool {
	return (s.state == 'Z' && s.threads <= 1) || s.state == 'X' || s.state == 'x'
}

// readStat returns the stat of pid, or an error when there is no such process.
func readStat(pid int) (stat, error) {
	b, err := readLimited("/proc/"+strconv.Itoa(pid)+"/stat", 4096)
	if err != nil {
		return stat{}, err
	}
	s, err := parseStat(b)
	s.pid = pid
	return s, err
}

var errStat = errors.New("unreadable process stat")

// parseStat reads the text of /proc/PID/stat. The second field, the name, may hold spaces and parentheses.
func parseStat(b []byte) (stat, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return stat{}, errStat
	}
	const state, parent, group, session, threads, start = 0, 1, 2, 3, 17, 19 // proc(5)'s field number minus 3
	f := strings.Fields(string(b[end+1:]))
	if len(f) <= start || len(f[state]) != 1 || f[state][0] < 'A' || f[state][0] > 'z' {
		return stat{}, errStat
	}
	s := stat{state: f[state][0]}
	var errs [5]error
	s.parent, errs[0] = strconv.Atoi(f[parent])
	s.group, errs[1] = strconv.Atoi(f[group])
	s.session, errs[2] = strconv.Atoi(f[session])
	s.threads, errs[3] = strconv.Atoi(f[threads])
	s.start, errs[4] = strconv.ParseUint(f[start], 10, 64)
	if errors.Join(errs[:]...) != nil {
		return stat{}, errStat
	}
	return s, nil
}

// each calls visit with every process that can be seen. One that ends meanwhile is left out.
func each(visit func(stat)) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil {
				if s, err := readStat(pid); err == nil {
					visit(s)
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

// environ returns the value of the variable name in pid's environment as it was when pid's program started.
func environ(pid int, name string) (string, bool) {
	b, err := readLimited("/proc/"+strconv.Itoa(pid)+"/environ", 1<<20)
	if err != nil {
		return "", false
	}
	for entry := range bytes.SplitSeq(b, []byte{0}) {
		if k, v, ok := bytes.Cut(entry, []byte("=")); ok && string(k) == name {
			return string(v), true
		}
	}
	return "", false
}

// sameRoot reports whether pid sees the same root directory as this process: a path in its environment then means the
// same file. A container with the same paths inside does not.
func sameRoot(pid int) bool {
	ours, err := os.Stat("/proc/self/root")
	if err != nil {
		return false
	}
	theirs, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "root"))
	return err == nil && os.SameFile(ours, theirs)
}

// bootID names this boot of the machine; "" where the kernel does not tell.
func bootID() string {
	b, err := readLimited("/proc/sys/kernel/random/boot_id", 64)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func readLimited(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}
