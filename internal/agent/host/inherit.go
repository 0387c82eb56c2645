package host

import "golang.org/x/sys/unix"

// Disinherit frees this process of what the shell that started it happens to have: its umask would
// close folders that services of other users must enter, and files that it left open would reach
// every service.
func Disinherit() {
	const umask, first, most = 0o022, 3, 1 << 16
	unix.Umask(umask)
	if err := unix.CloseRange(first, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err == nil {
		return
	}
	for fd := first; fd < most; fd++ { // before Linux 5.11
		unix.CloseOnExec(fd)
	}
}
