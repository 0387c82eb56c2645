//go:build linux && (arm || 386)

package confine

import "golang.org/x/sys/unix"

// The calls without 32 in their names take ids of 16 bits here.
const (
	sysSetgroups = unix.SYS_SETGROUPS32
	sysSetresgid = unix.SYS_SETRESGID32
	sysSetresuid = unix.SYS_SETRESUID32
)
