package procfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Waiting returns the addresses at which TCP sockets of this network namespace listen. It asks the kernel's
// socket monitoring (sock_diag(7)), which looks at these alone: /proc/net/tcp takes as long as all sockets
// need, 185 ms on a machine with two. Where that is missing, it is Listeners.
func Waiting() ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	var failed error
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		list, err := dump(family)
		if all = append(all, list...); err != nil && !(family == unix.AF_INET6 && errors.Is(err, unix.ENOENT)) {
			failed = err
		}
	}
	if failed == nil {
		return all, nil
	}
	list, err := Listeners("tcp", 0)
	if err != nil {
		return nil, errors.Join(failed, err)
	}
	all = nil
	for _, l := range list {
		all = append(all, l.At)
	}
	return all, nil
}

// Offsets and lengths in messages of linux/inet_diag.h.
const (
	diagRequest  = 56 // struct inet_diag_req_v2
	diagStatesAt = 4
	diagPortAt   = 4 // of struct inet_diag_msg: id.idiag_sport, in the order of networks
	diagAddrAt   = 8 // id.idiag_src
	diagMessage  = 72
)

// dump returns where sockets of one family listen.
func dump(family byte) (list []netip.AddrPort, _ error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	const byFamily, listen = 20, 1 << 10 // SOCK_DIAG_BY_FAMILY, the state TCP_LISTEN
	b := make([]byte, unix.SizeofNlMsghdr+diagRequest)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], byFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	req := b[unix.SizeofNlMsghdr:]
	req[0], req[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(req[diagStatesAt:], listen)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	const most = 64 << 10
	for buf := make([]byte, most); ; {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("sock_diag: %w", err)
		}
		part, done, err := listeningIn(buf[:n])
		if list = append(list, part...); done || err != nil {
			return list, err
		}
	}
}

// listeningIn reads what one answer holds; done = it is the last one.
func listeningIn(b []byte) (list []netip.AddrPort, done bool, _ error) {
	for len(b) > 0 {
		if len(b) < unix.SizeofNlMsghdr {
			return nil, false, errShort
		}
		length, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return nil, false, errShort
		}
		body := b[unix.SizeofNlMsghdr:length]
		b = b[min(len(b), (length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
		switch {
		case kind == unix.NLMSG_DONE:
			return list, true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			return nil, false, fmt.Errorf("sock_diag: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(body))))
		case len(body) < diagMessage:
			return nil, false, errShort
		}
		ip := body[diagAddrAt : diagAddrAt+4]
		if body[0] == unix.AF_INET6 {
			ip = body[diagAddrAt : diagAddrAt+16]
		}
		at, _ := netip.AddrFromSlice(ip)
		list = append(list, netip.AddrPortFrom(at, binary.BigEndian.Uint16(body[diagPortAt:])))
	}
	return list, false, nil
}

var errShort = errors.New("sock_diag: a short answer")
