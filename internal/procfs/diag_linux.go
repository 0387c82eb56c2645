package procfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// diagRequest asks the kernel's socket monitoring (sock_diag(7)) for TCP sockets of one family: for the one that
// has both addresses, or for all that are in one of states when these are the zero value.
type diagRequest struct {
	family   byte
	states   uint32
	from, to netip.AddrPort
}

// Offsets and lengths in messages of linux/inet_diag.h.
const (
	diagRequestLen = 56 // struct inet_diag_req_v2
	diagStatesAt   = 4
	diagIDAt       = 8 // of a request: struct inet_diag_sockid
	diagCookieAt   = diagIDAt + 40
	diagPortAt     = 4 // of struct inet_diag_msg: id.idiag_sport, in the order of networks
	diagAddrAt     = 8 // id.idiag_src
	diagUIDAt      = 64
	diagInodeAt    = 68
	diagMessage    = 72
)

// ask calls visit with each struct inet_diag_msg of the answer.
func (r diagRequest) ask(visit func(message []byte)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	one := r.from.IsValid()
	if err := unix.Sendto(fd, r.encode(one), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	const most = 64 << 10
	for buf := make([]byte, most); ; {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("sock_diag: %w", err)
		}
		if done, err := diagAnswer(buf[:n], visit); done || one || err != nil {
			return err
		}
	}
}

// encode returns the request as a message; one = for a single socket.
func (r diagRequest) encode(one bool) []byte {
	const byFamily = 20 // SOCK_DIAG_BY_FAMILY
	b := make([]byte, unix.SizeofNlMsghdr+diagRequestLen)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], byFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	req := b[unix.SizeofNlMsghdr:]
	req[0], req[1] = r.family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(req[diagStatesAt:], r.states)
	if !one {
		binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
		return b
	}
	id := req[diagIDAt:diagCookieAt]
	binary.BigEndian.PutUint16(id, r.from.Port())
	binary.BigEndian.PutUint16(id[2:], r.to.Port())
	copy(id[4:20], r.from.Addr().AsSlice())
	copy(id[20:36], r.to.Addr().AsSlice())
	binary.NativeEndian.PutUint64(req[diagCookieAt:], ^uint64(0)) // INET_DIAG_NOCOOKIE, twice
	return b
}

// diagAnswer calls visit with the messages of a part of an answer; done = it is the last part.
func diagAnswer(b []byte, visit func(message []byte)) (done bool, _ error) {
	for len(b) > 0 {
		if len(b) < unix.SizeofNlMsghdr {
			return false, errShort
		}
		length, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return false, errShort
		}
		body := b[unix.SizeofNlMsghdr:length]
		b = b[min(len(b), (length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
		switch {
		case kind == unix.NLMSG_DONE:
			return true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			return false, fmt.Errorf("sock_diag: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(body))))
		case len(body) < diagMessage:
			return false, errShort
		}
		visit(body)
	}
	return false, nil
}

var errShort = errors.New("sock_diag: a short answer")
