package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"overland/internal/appfile"
)

// PortTeller is a Runtime that can tell who listens on a port of this machine.
type PortTeller interface {
	// Listeners returns what waits for others on the port number of protocol, at any address. records
	// are the record files of instances that it may belong to. errors.ErrUnsupported = nobody can tell.
	Listeners(protocol appfile.Protocol, number int, records []string) ([]Listener, error)
}

// Listener waits for others at an address.
type Listener struct {
	At    netip.AddrPort
	Owner int    // index of the instance whose it is
	Who   string // for people, of a Stranger: "process 812 (busybox) of user root"
}

// Owners that are no instance.
const (
	Stranger = -1
	Untold   = -2 // this process may not look
)

// Listening returns what listens where p says; see PortTeller.
func Listening(rt Runtime, p appfile.Port, records []string) ([]Listener, error) {
	teller, ok := rt.(PortTeller)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	all, err := teller.Listeners(cmp.Or(p.Protocol, appfile.TCP), p.Number, records)
	var list []Listener
	for _, l := range all {
		if p.Covers(l.At.Addr()) {
			list = append(list, l)
		}
	}
	return list, err
}

// portProbe passes when inst, and nobody else, listens where p says.
func portProbe(rt Runtime, inst Instance, p appfile.Port) func(context.Context) error {
	return func(context.Context) error {
		list, err := Listening(rt, p, []string{inst.Record})
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return nil
		case err != nil:
			return err
		case len(list) == 0:
			return fmt.Errorf("nothing listens on port %s", p)
		}
		for _, l := range list {
			if l.Owner == Stranger {
				return fmt.Errorf("%s listens on port %s, not this service", l.Who, p)
			}
		}
		return nil
	}
}

// answers returns an error when c, a connection to an address of this machine, was taken by neither
// inst nor, when the port is not one of inst's own, another service of its application.
func answers(rt Runtime, inst Instance, c net.Conn) error {
	local, ok1 := c.LocalAddr().(*net.TCPAddr)
	remote, ok2 := c.RemoteAddr().(*net.TCPAddr)
	if !ok1 || !ok2 || !remote.IP.IsLoopback() && !remote.IP.Equal(local.IP) {
		return nil // another machine's
	}
	at := remote.AddrPort()
	to := appfile.Port{Number: int(at.Port()), Address: at.Addr().Unmap().String()}
	records := []string{inst.Record}
	if !slices.ContainsFunc(inst.Spec.Ports, to.Collides) {
		records = append(records, inst.Fellows...)
	}
	list, err := Listening(rt, to, records)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, l := range nearest(list, at.Addr().Unmap()) {
		if l.Owner == Stranger {
			return fmt.Errorf("%s answers there, not this service", l.Who)
		}
	}
	return nil
}

// nearest returns those of list among which the kernel chooses for what is sent to addr.
func nearest(list []Listener, addr netip.Addr) []Listener {
	for _, at := range []netip.Addr{addr, netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		var found []Listener
		for _, l := range list {
			if l.At.Addr().Unmap() == at {
				found = append(found, l)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}
