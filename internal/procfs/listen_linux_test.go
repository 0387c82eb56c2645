package procfs_test

import (
	"cmp"
	"net"
	"net/netip"
	"os"
	"testing"

	"overland/internal/procfs"
)

// Who listens is found with address and process; a socket that is connected, or of another protocol,
// does not listen.
func TestWhoListens(t *testing.T) {
	var lc net.ListenConfig
	for _, at := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
		l, err := lc.Listen(t.Context(), "tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		own := l.Addr().(*net.TCPAddr).AddrPort()
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		list, err := procfs.Listeners("tcp", int(own.Port()))
		if err != nil || len(list) != 1 || list[0].At != own || list[0].UID != os.Geteuid() {
			t.Fatalf("%s: got %+v, %v", own, list, err)
		}
		p, ok := procfs.Holders([]uint64{list[0].Inode})[list[0].Inode]
		if !ok || p.PID != os.Getpid() || p.Name() == "" {
			t.Errorf("%s: held by %+v (%q)", own, p, p.Name())
		}
		if list, err = procfs.Listeners("tcp", c.LocalAddr().(*net.TCPAddr).Port); err != nil || len(list) != 0 {
			t.Errorf("%s: a client's socket listens: %+v, %v", own, list, err)
		}
	}
	u, err := lc.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	port := u.LocalAddr().(*net.UDPAddr).Port
	if list, err := procfs.Listeners("udp", port); err != nil || len(list) != 1 || list[0].At != u.LocalAddr().(*net.UDPAddr).AddrPort() {
		t.Errorf("udp: got %+v, %v", list, err)
	}
}

// All that listen are found, however many, and what is connected is not among them.
func TestAllThatListen(t *testing.T) {
	var lc net.ListenConfig
	want, first := map[netip.AddrPort]bool{}, ""
	for i := range 600 { // more than one answer of the kernel holds
		l, err := lc.Listen(t.Context(), "tcp", []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"}[i%4])
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		want[l.Addr().(*net.TCPAddr).AddrPort()] = true
		first = cmp.Or(first, l.Addr().String())
	}
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", first)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := procfs.Waiting()
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range list {
		if at == c.LocalAddr().(*net.TCPAddr).AddrPort() {
			t.Errorf("a client's socket listens: %s", at)
		}
		delete(want, at)
	}
	if len(want) != 0 {
		t.Errorf("%d of them are missing: %v", len(want), want)
	}
}
