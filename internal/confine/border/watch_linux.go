package border

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// most is how many attempts are named: a scan of ports is one of very many.
const most = 200

// Watcher says no at a border.
type Watcher struct {
	w     *Wire
	owner func(protocol string, from netip.AddrPort) string
	names []net.PacketConn
	all   sync.WaitGroup

	mu   sync.Mutex
	list []Attempt
}

// Watch watches over the border of w until Stop is called. owner returns the name of the process that
// sends from an address of the namespace.
func Watch(w *Wire, owner func(protocol string, from netip.AddrPort) string) *Watcher {
	b := &Watcher{w: w, owner: owner}
	b.all.Go(b.read)
	for _, f := range w.Names {
		c, err := net.FilePacketConn(f)
		_ = f.Close()
		if err == nil {
			b.names = append(b.names, c)
			b.all.Go(func() { b.nameServer(c) })
		}
	}
	return b
}

// Stop closes the wire and returns the attempts, each once, the first one first.
func (b *Watcher) Stop() []Attempt {
	_ = b.w.Frames.Close()
	for _, c := range b.names {
		_ = c.Close()
	}
	b.all.Wait()
	return b.list
}

// read reads the wire until it is closed.
func (b *Watcher) read() {
	raw, err := b.w.Frames.SyscallConn()
	if err != nil {
		return
	}
	const longest = 64 << 10
	buf := make([]byte, longest)
	for {
		var n int
		var from unix.Sockaddr
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, from, failed = unix.Recvfrom(int(fd), buf, 0)
			return failed != unix.EAGAIN
		})
		if err != nil {
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if failed != nil || !ok || link.Pkttype == unix.PACKET_OUTGOING {
			continue // it is our own, or the interface is gone
		}
		b.refuse(buf[:n], link, raw.Write)
	}
}

// refuse notes who sent the packet, and answers it.
func (b *Watcher) refuse(frame []byte, from *unix.SockaddrLinklayer, write func(func(uintptr) bool) error) {
	p, ok := parse(frame)
	if !ok || p.noise() {
		return
	}
	a, answer := b.judge(frame, p)
	b.note(a)
	to := &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_IP), Ifindex: from.Ifindex, Halen: from.Halen, Addr: from.Addr}
	if p.to.Addr().Is6() {
		to.Protocol = networkOrder(unix.ETH_P_IPV6)
	}
	_ = write(func(fd uintptr) bool { // one that is lost is asked for again
		_ = unix.Sendto(int(fd), answer, 0, to)
		return true
	})
}

// judge returns what p tries, and the answer to it.
func (b *Watcher) judge(frame []byte, p packet) (Attempt, []byte) {
	a := Attempt{To: p.to}
	switch p.protocol {
	case tcp:
		a.Protocol = "tcp"
	case udp:
		a.Protocol = "udp"
		if p.to.Port() != domain {
			break
		}
		if name, answer, ok := question(p.body[headUDP:]); ok {
			a.Name, a.Process = name, b.owner(a.Protocol, p.from)
			return a, p.datagram(answer)
		}
	case icmp4, icmp6:
		a.Protocol = "ping"
	default:
		a.Protocol = fmt.Sprintf("IP protocol %d", p.protocol)
	}
	if p.from.Port() != 0 {
		a.Process = b.owner(a.Protocol, p.from) // its socket waits for the answer
	}
	return a, unreachable(frame, p)
}

// nameServer answers the questions to a name server of the loopback interface.
func (b *Watcher) nameServer(c net.PacketConn) {
	const longest = 64 << 10
	buf := make([]byte, longest)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		name, answer, ok := question(buf[:n])
		if !ok {
			continue
		}
		a := Attempt{Protocol: "udp", To: addrPort(c.LocalAddr()), Name: name}
		a.Process = b.owner(a.Protocol, addrPort(from))
		b.note(a)
		_, _ = c.WriteTo(answer, from)
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		at := u.AddrPort()
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	return netip.AddrPort{}
}

// note notes a, once.
func (b *Watcher) note(a Attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.list) < most && !slices.Contains(b.list, a) {
		b.list = append(b.list, a)
	}
}
