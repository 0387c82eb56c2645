package site

import (
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
