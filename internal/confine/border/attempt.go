package border

import (
	"cmp"
	"fmt"
	"net/netip"
)

// Attempt is a try to leave a namespace past its listener. It has failed.
type Attempt struct {
	Protocol string         // tcp, udp, or what else goes over IP
	To       netip.AddrPort // port 0: Protocol has none
	Name     string         // of a question to a name server: what it asks for
	Process  string         // the name of who tried; "" = it had ended
}

// Address returns where it went: ADDRESS:PORT, or ADDRESS when the protocol has no ports.
func (a Attempt) Address() string {
	if a.To.Port() == 0 {
		return a.To.Addr().String()
	}
	return a.To.String()
}

// String says it for people.
func (a Attempt) String() string {
	to := a.Address()
	switch {
	case a.Name != "":
		to = fmt.Sprintf("the name %.255q, asked of the name server %s", a.Name, to)
	case a.Protocol != "tcp":
		to += " by " + a.Protocol
	}
	return to + " (process " + cmp.Or(a.Process, "unknown: it has ended") + ")"
}
