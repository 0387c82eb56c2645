package host

import (
	"golang.org/x/sys/unix"

	"overland/internal/procfs"
)

// Disinherit frees this process of what the shell that started it happens to have: its umask would
// close folders that services of other users must enter, and files that it left open would reach
// every service.
func Disinherit() {
	const umask = 0o022
	unix.Umask(umask)
	procfs.Disinherit()
}
