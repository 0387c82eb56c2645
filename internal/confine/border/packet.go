package border

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/net/dns/dnsmessage"
)

// The protocols of IP that have a meaning here, as the kernel numbers them.
const (
	icmp4 = 1
	igmp  = 2
	tcp   = 6
	udp   = 17
	icmp6 = 58
)

// domain is the port of name servers.
const domain = 53

// packet is what an IP packet says of who wants where.
type packet struct {
	from, to netip.AddrPort // the port is 0, unless protocol is tcp or udp
	protocol byte
	body     []byte // behind the header of IP
}

// Lengths of headers, in bytes.
const (
	head4    = 20
	head6    = 40
	headUDP  = 8
	headICMP = 8
)

// parse reads an IP packet; false = it is none, or not the first part of one.
func parse(b []byte) (p packet, _ bool) {
	if len(b) < head4 {
		return p, false
	}
	const bits = 4
	switch b[0] >> bits {
	case 4:
		const word, lowNibble, offset = 4, 0xf, 0x1fff
		head, length := int(b[0]&lowNibble)*word, int(binary.BigEndian.Uint16(b[2:]))
		if head < head4 || head > len(b) || length < head || binary.BigEndian.Uint16(b[6:])&offset != 0 {
			return p, false
		}
		p.protocol, p.body = b[9], b[head:min(length, len(b))]
		from, _ := netip.AddrFromSlice(b[12:16])
		to, _ := netip.AddrFromSlice(b[16:20])
		p.from, p.to = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
	case 6:
		if len(b) < head6 {
			return p, false
		}
		p.protocol, p.body = b[6], b[head6:]
		from, _ := netip.AddrFromSlice(b[8:24])
		to, _ := netip.AddrFromSlice(b[24:40])
		p.from, p.to = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
	default:
		return p, false
	}
	if p.protocol != tcp && p.protocol != udp {
		return p, true
	}
	if len(p.body) < headUDP { // the ports of TCP are where UDP's are
		return p, false
	}
	p.from = netip.AddrPortFrom(p.from.Addr(), binary.BigEndian.Uint16(p.body))
	p.to = netip.AddrPortFrom(p.to.Addr(), binary.BigEndian.Uint16(p.body[2:]))
	return p, true
}

// noise reports whether the kernel sends p by itself: which groups there are, and who is near.
func (p packet) noise() bool {
	const echo4, echo6 = 8, 128
	switch p.protocol {
	case igmp:
		return true
	case icmp4:
		return len(p.body) == 0 || p.body[0] != echo4
	case icmp6, 0: // 0: with options for every router, which are those of groups
		return len(p.body) == 0 || p.body[0] != echo6
	}
	return false
}

// unreachable returns the answer to the packet b that a router gives whose owner forbids it.
func unreachable(b []byte, p packet) []byte {
	if p.to.Addr().Is4() {
		const kind, prohibited, most = 3, 13, 548
		return ip(p.to.Addr(), p.from.Addr(), icmp4, message(kind, prohibited, b[:min(len(b), most)]))
	}
	const kind, prohibited, most = 1, 1, 1232
	return ip(p.to.Addr(), p.from.Addr(), icmp6, message(kind, prohibited, b[:min(len(b), most)]))
}

// message returns one of ICMP, without its sum.
func message(kind, code byte, about []byte) []byte {
	return append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, about...)
}

// datagram returns the answer to p with this content.
func (p packet) datagram(content []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, p.to.Port())
	b = binary.BigEndian.AppendUint16(b, p.from.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(headUDP+len(content)))
	return ip(p.to.Addr(), p.from.Addr(), udp, append(append(b, 0, 0), content...))
}

// ip returns a packet with body, whose sum it writes.
func ip(from, to netip.Addr, protocol byte, body []byte) []byte {
	const hops = 64
	pseudo := slices.Concat(from.AsSlice(), to.AsSlice(), binary.BigEndian.AppendUint32(nil, uint32(len(body))), []byte{0, 0, 0, protocol})
	at := 6 // of UDP's sum
	if protocol != udp {
		at = 2
	}
	if protocol == icmp4 {
		pseudo = nil
	}
	binary.BigEndian.PutUint16(body[at:], sum(pseudo, body))
	if from.Is4() {
		b := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, hops, protocol, 0, 0}
		binary.BigEndian.PutUint16(b[2:], uint16(head4+len(body)))
		b = slices.Concat(b, from.AsSlice(), to.AsSlice())
		binary.BigEndian.PutUint16(b[10:], sum(b, nil))
		return append(b, body...)
	}
	b := []byte{0x60, 0, 0, 0, 0, 0, protocol, hops}
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	return slices.Concat(b, from.AsSlice(), to.AsSlice(), body)
}

// sum is the checksum of RFC 1071 over two parts, the first of even length. 0 is written as 0xffff,
// which is the same sum: for UDP 0 means that there is none.
func sum(parts ...[]byte) uint16 {
	var n uint32
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			n += uint32(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			n += uint32(b[0]) << 8
		}
	}
	const half, low = 16, 0xffff
	for n > low {
		n = n>>half + n&low
	}
	if n == low {
		return low
	}
	return ^uint16(n)
}

// question reads what a name server is asked, and returns the name, without the dot at its end, and
// the answer "no such name". false = it is not a question.
func question(b []byte) (name string, answer []byte, _ bool) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || h.Response {
		return "", nil, false
	}
	q, err := p.Question()
	if err != nil {
		return "", nil, false
	}
	m := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, RecursionAvailable: true, RCode: dnsmessage.RCodeNameError,
		},
		Questions: []dnsmessage.Question{q},
	}
	if answer, err = m.Pack(); err != nil {
		return "", nil, false
	}
	name = q.Name.String()
	if n := len(name); n > 1 && name[n-1] == '.' {
		name = name[:n-1]
	}
	return name, answer, true
}
