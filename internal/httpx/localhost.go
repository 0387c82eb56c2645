package httpx

import (
	"context"
	"net"
	"strings"
)

// Localhost returns d for which the name localhost means this machine (RFC 6761, section 6.3), whatever
// /etc/hosts lacks and with no name server: first by IPv4, then by IPv6.
func Localhost(d Dial) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil || !IsLocalhost(host) {
			return d(ctx, network, address)
		}
		conn, err := d(ctx, network, net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			return conn, nil
		}
		if six, err := d(ctx, network, net.JoinHostPort("::1", port)); err == nil {
			return six, nil
		}
		return nil, err
	}
}

// IsLocalhost reports whether the name host is this machine's by definition.
func IsLocalhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
