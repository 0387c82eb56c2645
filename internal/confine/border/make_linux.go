package border

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"overland/internal/confine"
	"overland/internal/fsx"
)

// Wire is the inside of a border, for Watch.
type Wire struct {
	Frames *os.File   // where packets come out that want to leave
	Names  []*os.File // sockets in the place of the machine's name servers on the loopback interface
}

// The two ends of the wire: what is sent goes to the first, and comes out at the second.
const (
	inner = "net0"
	outer = "border0"
)

// addresses are those of the namespace itself, from the blocks for tests (RFC 2544) and for sites
// (RFC 4193).
func addresses() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("198.18.0.1/32"), netip.MustParsePrefix("fd00:6f76:6572::1/128")}
}

// Make makes the border of the network namespace of this process, which nobody has set up yet, and
// returns a listener on its loopback interface. The caller closes both. The error is a
// *confine.UnableError when the machine cannot do it.
func Make() (*net.TCPListener, *Wire, error) {
	if err := confine.Loopback(); err != nil {
		return nil, nil, fmt.Errorf("bring lo up: %w", err)
	}
	frames, err := link()
	if err != nil {
		return nil, nil, err
	}
	w := &Wire{Frames: frames}
	for _, at := range resolvers("/etc/resolv.conf") {
		if f, err := listenUDP(netip.AddrPortFrom(at, domain)); err == nil { // without it the question is refused
			w.Names = append(w.Names, f)
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		w.Close()
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	return l.(*net.TCPListener), w, nil
}

// Close closes the files of w.
func (w *Wire) Close() {
	for _, f := range append(w.Names, w.Frames) {
		_ = f.Close()
	}
}

func listenUDP(at netip.AddrPort) (*os.File, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.File()
}

// resolvers returns the name servers in the file path that are on the loopback interface; without
// any, programs ask 127.0.0.1.
func resolvers(path string) (list []netip.Addr) {
	const most = 64 << 10
	b, _ := fsx.ReadFile(path, most)
	named := false
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		named = true
		if at, err := netip.ParseAddr(f[1]); err == nil && at.IsLoopback() {
			list = append(list, at)
		}
	}
	if !named {
		list = append(list, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	return list
}

// link makes the wire, and returns a packet socket at its outer end.
func link() (*os.File, error) {
	n, err := newNetlink()
	if err != nil {
		return nil, err
	}
	defer n.close()
	// struct ifinfomsg is 16 bytes: all zero is a new interface.
	name := func(s string) []byte { return attribute(unix.IFLA_IFNAME, append([]byte(s), 0)) }
	const vethPeer = 1 // VETH_INFO_PEER
	peer := attribute(vethPeer, make([]byte, unix.SizeofIfInfomsg), name(outer))
	kind := attribute(unix.IFLA_LINKINFO, attribute(unix.IFLA_INFO_KIND, []byte("veth")), attribute(unix.IFLA_INFO_DATA, peer))
	if err := n.do(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, make([]byte, unix.SizeofIfInfomsg), name(inner), kind); err != nil {
		return nil, &confine.UnableError{What: "a pair of network interfaces", Remedy: "the kernel needs CONFIG_VETH: modprobe veth", Err: err}
	}
	for _, name := range []string{outer, inner} {
		if err := confine.Up(name, unix.IFF_NOARP); err != nil { // nobody answers questions for neighbours
			return nil, fmt.Errorf("bring %s up: %w", name, err)
		}
	}
	in, err := net.InterfaceByName(inner)
	if err != nil {
		return nil, err
	}
	out, err := net.InterfaceByName(outer)
	if err != nil {
		return nil, err
	}
	for _, p := range addresses() {
		if err := n.lead(in.Index, p); err != nil && p.Addr().Is4() { // a kernel may have no IPv6
			return nil, fmt.Errorf("the default route: %w", err)
		}
	}
	return wiretap(out.Index)
}

// lead gives interface index the address p, and the default route of its family.
func (n *netlink) lead(index int, p netip.Prefix) error {
	family := byte(unix.AF_INET)
	if p.Addr().Is6() {
		family = unix.AF_INET6
	}
	number := binary.NativeEndian.AppendUint32(nil, uint32(index))
	head := append([]byte{family, byte(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE}, number...) // struct ifaddrmsg
	at := p.Addr().AsSlice()
	if err := n.do(unix.RTM_NEWADDR, unix.NLM_F_CREATE, head, attribute(unix.IFA_LOCAL, at), attribute(unix.IFA_ADDRESS, at)); err != nil {
		return err
	}
	scope := byte(unix.RT_SCOPE_LINK)
	if family == unix.AF_INET6 {
		scope = unix.RT_SCOPE_UNIVERSE
	}
	head = []byte{family, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, scope, unix.RTN_UNICAST, 0, 0, 0, 0} // struct rtmsg
	return n.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, head, attribute(unix.RTA_OIF, number))
}

// wiretap returns a socket for all packets at interface index.
func wiretap(index int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, &confine.UnableError{What: "a packet socket", Remedy: "the kernel needs CONFIG_PACKET: modprobe af_packet", Err: err}
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind a packet socket: %w", err)
	}
	return os.NewFile(uintptr(fd), outer), nil
}

// networkOrder returns n for a field that the kernel reads in the order of networks.
func networkOrder(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// netlink speaks rtnetlink (RFC 3549) with the kernel.
type netlink struct {
	fd int
	n  uint32
}

func newNetlink() (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &netlink{fd: fd}, nil
}

func (n *netlink) close() { _ = unix.Close(n.fd) }

// attribute returns one with its parts as its value.
func attribute(kind uint16, parts ...[]byte) []byte {
	value := bytes.Join(parts, nil)
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	for len(b)%unix.RTA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

// do sends a request and returns the kernel's answer to it.
func (n *netlink) do(kind, flags uint16, parts ...[]byte) error {
	n.n++
	body := bytes.Join(parts, nil)
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = binary.NativeEndian.AppendUint32(b, n.n)
	b = append(binary.NativeEndian.AppendUint32(b, 0), body...)
	if err := unix.Sendto(n.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	const most = 64 << 10
	answer := make([]byte, most)
	for {
		got, _, err := unix.Recvfrom(n.fd, answer, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case got < unix.SizeofNlMsghdr+4:
			return errors.New("netlink: a short answer")
		}
		if binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR || binary.NativeEndian.Uint32(answer[8:]) != n.n {
			continue
		}
		if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
			return unix.Errno(-code)
		}
		return nil
	}
}
