package admission

import (
	"net"

	"golang.org/x/sys/unix"
)

// passed returns how many bytes the other side of c has sent and acknowledged (tcp(7), TCP_INFO).
func passed(c *net.TCPConn) (n int64) {
	control(c, func(fd int) {
		if i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int64(i.Bytes_acked + i.Bytes_received)
		}
	})
	return n
}

// outstanding returns how many bytes the other side of c has not acknowledged yet (tcp(7), SIOCOUTQ).
func outstanding(c *net.TCPConn) (n int) {
	control(c, func(fd int) {
		if q, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ); err == nil {
			n = q
		}
	})
	return n
}

// limitUnsent sets how many bytes the kernel takes for c that it has not sent yet (tcp(7), TCP_NOTSENT_LOWAT), and returns how many
// it was; 0 = not known, and nothing is set.
func limitUnsent(c *net.TCPConn, n int) (before int) {
	if n == 0 {
		return 0
	}
	control(c, func(fd int) {
		was, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
		if err == nil && was != 0 && unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n) == nil {
			before = was
		}
	})
	return before
}

func control(c *net.TCPConn, do func(fd int)) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { do(int(fd)) })
	}
}
