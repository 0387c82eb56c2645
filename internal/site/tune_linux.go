package site

import (
	"math"
	"net"

	"golang.org/x/sys/unix"
)

// unsent is how many bytes the kernel takes from us that it has not sent yet. Without a limit it
// swallows megabytes, and on a link of 4 KB/s a write then blocks for minutes while all is well:
// nobody could tell it from a dead client.
const unsent = 128 << 10

// tune limits unsent bytes. A kernel that cannot goes without.
func tune(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	})
}

// openFiles returns how many descriptors this process may have; 0 = not known.
func openFiles() int64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur > math.MaxInt64 {
		return 0
	}
	return int64(l.Cur)
}
