package admission_test

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"overland/internal/admission"
)

// The limit of a listener for unsent bytes is lifted for one long answer, and is there again for what follows.
func TestBulkLiftsTheLimitForUnsentBytes(t *testing.T) {
	const limit = 128 << 10
	unsent := func(c net.Conn, set int) (n int) {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) {
				if set > 0 {
					_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, set)
				}
				n, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
			})
		}
		if err != nil {
			t.Error(err)
		}
		return n
	}
	l, dial := opened(t, admission.Options{Conns: 1, Tune: func(c net.Conn) { unsent(c, limit) }})
	dial("127.0.0.2")
	c := accept(t, l).(*admission.Conn)
	end := c.Bulk()
	if n := unsent(c.Conn, 0); n <= limit {
		t.Errorf("%d unsent bytes at most, want more than %d", n, limit)
	}
	end()
	if n := unsent(c.Conn, 0); n != limit {
		t.Errorf("%d unsent bytes at most afterwards, want %d", n, limit)
	}
	(*admission.Conn)(nil).Bulk()() // of a request that came on another listener
}
