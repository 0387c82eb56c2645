package procfs

import "golang.org/x/sys/unix"

// Disinherit keeps every descriptor but the standard streams from the programs that this process
// starts: whoever started it may have left some open, and forgotten.
func Disinherit() {
	const first, most = 3, 1 << 16
	if err := unix.CloseRange(first, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err == nil {
		return
	}
	for fd := first; fd < most; fd++ { // before Linux 5.11
		unix.CloseOnExec(fd)
	}
}
