package sysinfo

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"
)

// cpuLevel returns the ARM architecture that the kernel says this CPU is of, at least armv5.
func cpuLevel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "armv5"
	}
	machine := string(u.Machine[:max(0, bytes.IndexByte(u.Machine[:], 0))])
	switch {
	case strings.HasPrefix(machine, "armv6"):
		return "armv6"
	case strings.HasPrefix(machine, "armv7"), strings.HasPrefix(machine, "armv8"), machine == "aarch64":
		return "armv7"
	}
	return "armv5"
}
