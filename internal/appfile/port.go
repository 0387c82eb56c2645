package appfile

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Port is a port that a service listens on.
type Port struct {
	Number   int      // 1..65535
	Protocol Protocol // "" = TCP; UDP
	Address  string   // a literal one of this machine; "" = any
}

// Protocol is what speaks on a port.
type Protocol string

// The protocols.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// PortForm says how a port is written.
const PortForm = "8080, 53/udp, 127.0.0.1:8080 or [::1]:53/udp"

// ParsePort returns the port that s says: PORT, PORT/PROTOCOL, ADDRESS:PORT or ADDRESS:PORT/PROTOCOL.
// An address is a literal one. TCP is left out of what it returns, and so is an address that means any.
func ParsePort(s string) (Port, error) {
	bad := func(why string) (Port, error) {
		return Port{}, fmt.Errorf("port %.60q: %s; write it like %s", s, why, PortForm)
	}
	var p Port
	rest, protocol, named := strings.Cut(s, "/")
	switch Protocol(protocol) {
	case UDP:
		p.Protocol = UDP
	case TCP:
	default:
		if named {
			return bad("the protocols are tcp and udp")
		}
	}
	number := rest
	if at := strings.LastIndexByte(rest, ':'); at >= 0 {
		number = rest[at+1:]
		literal, bracketed := strings.CutPrefix(rest[:at], "[")
		literal = strings.TrimSuffix(literal, "]")
		addr, err := netip.ParseAddr(literal)
		if err != nil || addr.Zone() != "" || bracketed != addr.Is6() {
			return bad("not a literal address")
		}
		if addr = addr.Unmap(); addr != netip.IPv6Unspecified() {
			p.Address = addr.String()
		}
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 65535 || number != strconv.Itoa(n) {
		return bad("must be between 1 and 65535")
	}
	p.Number = n
	return p, nil
}

// String returns p as ParsePort reads it.
func (p Port) String() string {
	s := strconv.Itoa(p.Number)
	if p.Address != "" {
		s = net.JoinHostPort(p.Address, s)
	}
	if p.Protocol == UDP {
		s += "/udp"
	}
	return s
}

// Covers reports whether what listens at addr, of p's protocol and number, is where p says.
func (p Port) Covers(addr netip.Addr) bool {
	own, err := netip.ParseAddr(p.Address)
	addr = addr.Unmap()
	return err != nil || addr == own || includes(addr, own) || includes(own, addr)
}

// includes reports whether what listens at a gets what is sent to b.
func includes(a, b netip.Addr) bool {
	return a.IsUnspecified() && (a.Is6() || b.Is4())
}

// Collides reports whether p and q cannot both be listened on.
func (p Port) Collides(q Port) bool {
	at, err := netip.ParseAddr(q.Address)
	return p.Number == q.Number && p.Protocol == q.Protocol && (err != nil || p.Covers(at))
}

// MarshalJSON writes a number where that says all, else text.
func (p Port) MarshalJSON() ([]byte, error) {
	if p == (Port{Number: p.Number}) {
		return json.Marshal(p.Number)
	}
	return json.Marshal(p.String())
}

// UnmarshalJSON reads a number, or text as ParsePort does.
func (p *Port) UnmarshalJSON(b []byte) (err error) {
	*p, err = ParsePort(strings.Trim(string(b), `"`))
	return err
}

// PortOf returns the name of a service of list, and its port, that collides with p; "" when there is none.
func PortOf(list map[string]Service, p Port) (string, Port) {
	for name, s := range list {
		for _, q := range s.Ports {
			if q.Collides(p) {
				return name, q
			}
		}
	}
	return "", Port{}
}
