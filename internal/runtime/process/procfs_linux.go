package process

import (
	"bytes"
	"os"
	"path/filepath"
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

// sameRoot reports whether pid sees the same root directory as this process: a path in its
// environment then means the same file. A container with the same paths inside does not.
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
	b, err := fsx.ReadFile("/proc/sys/kernel/random/boot_id", 64)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
