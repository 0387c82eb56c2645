package confine

import (
	"net"

	"golang.org/x/sys/unix"
)

// Held reports whether this process is confined as a command with Mounts, NetworkNone and the
// default filter is. It asks the kernel alone: an environment says what somebody wrote into it.
func Held() bool {
	return noMoreRights() && filtered() && privateReadOnlyRoot() && noNetwork()
}

// noMoreRights reports whether no program can give this process more rights than it has.
func noMoreRights() bool {
	on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil || on != 1 {
		return false
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); err == nil && has != 0 {
			return false
		}
	}
	return true
}

func filtered() bool {
	mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	return err == nil && mode == unix.SECCOMP_MODE_FILTER
}

// privateReadOnlyRoot reports whether the root is one that a keeper made, in memory.
func privateReadOnlyRoot() bool {
	var s unix.Statfs_t
	return unix.Statfs("/", &s) == nil && s.Type == unix.TMPFS_MAGIC && s.Flags&unix.ST_RDONLY != 0
}

// noNetwork reports whether nothing but the loopback interface is up. Some kernels put ends of tunnels
// into every network namespace, which only an administrator of it can use.
func noNetwork() bool {
	list, err := net.Interfaces()
	for _, i := range list {
		if i.Flags&(net.FlagLoopback|net.FlagUp) == net.FlagUp {
			return false
		}
	}
	return err == nil
}
