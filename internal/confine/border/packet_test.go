package border

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// asked returns a packet of UDP with a question to a name server.
func asked(t testing.TB, from, to, name string) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeAAAA, Class: dnsmessage.ClassINET}},
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packet{from: netip.MustParseAddrPort(to), to: netip.MustParseAddrPort(from)}.datagram(b)
}

// whole reports whether the sums of a packet of ICMP or UDP are right, as a receiver adds them up.
func whole(b []byte) bool {
	add := func(n uint32, b []byte) uint32 {
		for i := range b {
			n += uint32(b[i]) << (8 * uint(1-i%2))
		}
		return n
	}
	fold := func(n uint32) bool { return (n>>16+n&0xffff)%0xffff == 0 }
	if b[0]>>4 == 4 {
		n := uint32(0)
		if b[9] == udp {
			n = add(uint32(udp+len(b)-head4), b[12:20])
		}
		return fold(add(0, b[:head4])) && fold(add(n, b[head4:])) && int(binary.BigEndian.Uint16(b[2:])) == len(b)
	}
	n := add(uint32(b[6])+uint32(len(b)-head6), b[8:40])
	return fold(add(n, b[head6:])) && int(binary.BigEndian.Uint16(b[4:])) == len(b)-head6
}

func TestAnswers(t *testing.T) {
	for from, to := range map[string]string{"198.18.0.1:40000": "192.0.2.53:53", "[fd00::1]:40001": "[2001:db8::53]:53"} {
		b := asked(t, from, to, "private.example.")
		p, ok := parse(b)
		if !ok || p.from.String() != from || p.to.String() != to || p.protocol != udp || p.noise() || !whole(b) {
			t.Fatalf("%+v", p)
		}
		name, answer, ok := question(p.body[headUDP:])
		var m dnsmessage.Message
		if err := m.Unpack(answer); err != nil || !ok || name != "private.example" || m.ID != 7 || !m.Response || m.RCode != dnsmessage.RCodeNameError {
			t.Errorf("%q, %v, %+v", name, err, m)
		}
		back := p.datagram(answer)
		if r, ok := parse(back); !ok || r.from != p.to || r.to != p.from || !whole(back) {
			t.Errorf("%+v", r)
		}
		no := unreachable(b, p)
		if r, ok := parse(no); !ok || r.from.Addr() != p.to.Addr() || r.to.Addr() != p.from.Addr() || !r.noise() || !whole(no) {
			t.Errorf("%+v", r)
		}
		if _, _, ok := question(answer); ok {
			t.Error("an answer is a question")
		}
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(asked(f, "198.18.0.1:40000", "192.0.2.53:53", "a."))
	f.Add(asked(f, "[fd00::1]:40001", "[2001:db8::53]:53", "b.example."))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parse(b)
		if !ok {
			return
		}
		if no := unreachable(b, p); !whole(no) || len(no) > 1280 {
			t.Errorf("%x", no)
		}
		if p.protocol != udp {
			return
		}
		if _, answer, ok := question(p.body[headUDP:]); ok && !whole(p.datagram(answer)) {
			t.Errorf("%x", answer)
		}
	})
}
