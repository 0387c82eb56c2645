package admission

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

const subnet = 64 // bits: a home or a virtual machine has a whole /64 of IPv6 addresses to itself

// Client is one party that is counted. The zero value stands for all whose address is not known.
type Client struct {
	net   netip.Prefix
	alone uint64 // not 0: one connection that is counted by itself
}

// ClientAt returns the client with address ip.
func ClientAt(ip netip.Addr) Client {
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = subnet
	}
	p, err := ip.Prefix(bits)
	if err != nil { // not an address
		return Client{}
	}
	return Client{net: p}
}

// ClientOf returns the client at a, the address of a connection or its text.
func ClientOf(a net.Addr) Client { return ClientAt(addressOf(a)) }

// addressOf returns the IP address in a; the zero value when it has none.
func addressOf(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr()
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}

// among reports whether ip is in one of networks.
func among(networks []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
}

// String returns the network of the client: "10.0.0.1/32"; "" where it is not known.
func (c Client) String() string {
	if !c.net.IsValid() {
		return ""
	}
	return c.net.String()
}

type clientKey struct{}

// With returns ctx for work that is done for c.
func With(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// For returns the client that ctx was given With, else that of its connection.
func For(ctx context.Context) Client {
	if c, ok := ctx.Value(clientKey{}).(Client); ok {
		return c
	}
	if conn := ConnOf(ctx); conn != nil {
		return conn.seat.client()
	}
	return Client{}
}

// Forwarded returns next with requests that came through one of the trusted proxies as those of
// their client: the last address in X-Forwarded-For that is not such a proxy's.
func Forwarded(trusted []netip.Prefix, next http.Handler) http.Handler {
	if len(trusted) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !among(trusted, from.Addr()) {
			next.ServeHTTP(w, r)
			return
		}
		list := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for _, s := range slices.Backward(list) {
			ip, err := netip.ParseAddr(strings.TrimSpace(s))
			if err != nil {
				break // nobody vouches for what stands before it
			}
			if !among(trusted, ip) {
				r = r.WithContext(With(r.Context(), ClientAt(ip)))
				r.RemoteAddr = netip.AddrPortFrom(ip, 0).String()
				break
			}
		}
		next.ServeHTTP(w, r)
	})
}
