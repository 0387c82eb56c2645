package procfs_test

import (
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"overland/internal/procfs"
)

// A connection's other end is found in the process that has it, also when that speaks IPv6 to us.
func TestThePeerOfAConnection(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, family := range []int{syscall.AF_INET, syscall.AF_INET6} {
		fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		var to syscall.Sockaddr = &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
		if family == syscall.AF_INET6 {
			to = &syscall.SockaddrInet6{Port: port, Addr: [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}}
		}
		if err := syscall.Connect(fd, to); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		peers, err := procfs.PeersOf(l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		peer, found, err := peers.Of(c)
		if err != nil || !found || peer.UID != os.Geteuid() {
			t.Fatalf("family %d: %+v, %v", family, peers, err)
		}
		self, err := procfs.Read(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if list, err := self.Sockets(); !slices.Contains(list, peer.Inode) || err != nil || !self.Is(peer.UID) {
			t.Errorf("family %d: this process does not hold it: %v", family, err)
		}
		parent, _ := procfs.Read(os.Getppid())
		if list, _ := parent.Sockets(); slices.Contains(list, peer.Inode) {
			t.Error("its parent holds it")
		}
		if err := syscall.Close(fd); err != nil {
			t.Fatal(err)
		}
		if peer, found, err = peers.Of(c); err != nil || found {
			t.Errorf("family %d: a closed socket: %+v, %v", family, peer, err)
		}
	}
}

func TestDescendants(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "cat; true") // a child and a grandchild
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for len(procfs.Below(cmd.Process.Pid)) == 0 { // until sh has started cat
		if t.Context().Err() != nil {
			t.Fatal("no grandchild")
		}
	}
	list := procfs.Below(os.Getpid())
	if len(list) != 2 || list[0].PID != cmd.Process.Pid || list[1].Parent != cmd.Process.Pid {
		t.Errorf("%+v", list)
	}
	below, others, err := procfs.Around(cmd.Process.Pid)
	here := func(p procfs.Process) bool { return p.PID == os.Getpid() || p.PID == cmd.Process.Pid }
	if err != nil || len(below) != 1 || below[0] != list[1] || slices.Contains(others, list[1]) || !slices.ContainsFunc(others, here) {
		t.Errorf("%+v, %+v, %v", below, others, err)
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
