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

func control(c *net.TCPConn, do func(fd int)) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { do(int(fd)) })
	}
}
