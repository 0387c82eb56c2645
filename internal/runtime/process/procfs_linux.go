package process

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"overland/internal/fsx"
)

// environLimit is the kernel's limit for a program's arguments and environment, in bytes.
const environLimit = 6 << 20

// environ returns the value of the variable name in pid's environment as it
// was when pid's program started.
func environ(pid int, name string) (string, bool) {
	b, err := fsx.ReadFile("/proc/"+strconv.Itoa(pid)+"/environ", environLimit)
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

// owner returns the effective user and group of pid.
func owner(pid int) (uid, gid uint32, err error) {
	const most = 64 << 10
	b, err := fsx.ReadFile("/proc/"+strconv.Itoa(pid)+"/status", most)
	if err != nil {
		return 0, 0, err
	}
	found := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		const effective = 2
		if len(f) <= effective || f[0] != "Uid:" && f[0] != "Gid:" {
			continue
		}
		id, err := strconv.ParseUint(f[effective], 10, 32)
		if err != nil {
			return 0, 0, err
		}
		found++
		if f[0] == "Uid:" {
			uid = uint32(id)
		} else {
			gid = uint32(id)
		}
	}
	if found != 2 {
		return 0, 0, errStatus
	}
	return uid, gid, nil
}

var errStatus = errors.New("unreadable process status")

// bootID names this boot of the machine; "" where the kernel does not tell.
func bootID() string {
	b, err := fsx.ReadFile("/proc/sys/kernel/random/boot_id", 64)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
