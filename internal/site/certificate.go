package site

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/httpx"
)

const mostNames = 64 // in a certificate, where a machine's address changes again and again

// names are what a certificate is for.
type names struct {
	dns []string
	ips []netip.Addr
}

// namesOf returns the names of a site that listens on listen: those that a person gave it, its
// address or, where that is all of them, the machine's, and loopback.
func namesOf(given []string, listen string) (names, error) {
	n := names{dns: []string{"localhost"}, ips: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}}
	host, _, err := parseListen(listen)
	if err != nil {
		return n, err
	}
	more := names{}
	if host.IsValid() && !host.IsUnspecified() {
		more.ips = append(more.ips, host.WithZone(""))
	} else {
		own, _ := httpx.Addresses() // a certificate without them is better than none
		for _, ip := range own {
			if ip.IsGlobalUnicast() {
				more.ips = append(more.ips, ip)
			}
		}
	}
	for _, s := range given {
		if ip, err := netip.ParseAddr(s); err == nil {
			more.ips = append(more.ips, ip.Unmap().WithZone(""))
		} else {
			more.dns = append(more.dns, strings.ToLower(strings.TrimSuffix(s, ".")))
		}
	}
	return n.and(more), nil
}

func namesIn(c *x509.Certificate) names {
	n := names{dns: c.DNSNames}
	for _, raw := range c.IPAddresses {
		if ip, ok := netip.AddrFromSlice(raw); ok {
			n.ips = append(n.ips, ip.Unmap())
		}
	}
	return n
}

// have reports whether all of o are among n.
func (n names) have(o names) bool {
	return !slices.ContainsFunc(o.dns, func(s string) bool { return !slices.Contains(n.dns, s) }) &&
		!slices.ContainsFunc(o.ips, func(ip netip.Addr) bool { return !slices.Contains(n.ips, ip) })
}

// and returns n and then what o has more, as far as there is room: earlier names do no harm, for
// whoever has them now does not have the key, and a client that uses one goes on working.
func (n names) and(o names) names {
	sum := names{slices.Clone(n.dns), slices.Clone(n.ips)}
	for _, s := range o.dns {
		if !slices.Contains(sum.dns, s) && len(sum.dns) < mostNames {
			sum.dns = append(sum.dns, s)
		}
	}
	for _, ip := range o.ips {
		if !slices.Contains(sum.ips, ip) && len(sum.ips) < mostNames {
			sum.ips = append(sum.ips, ip)
		}
	}
	return sum
}

// certify gives the site a certificate for the names that it has now.
func (s *Site) certify(o Options, listen string) error {
	of, err := namesOf(o.Names, listen)
	if err != nil {
		return err
	}
	cert, _, err := identity(fsx.FS{}, home.TLS.In(s.Dir), of) // which another process may have made again
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	old := s.cert.Swap(&cert)
	if named := len(old.Leaf.DNSNames) > 0; named && !cert.Leaf.Equal(old.Leaf) {
		o.Log.Warn("the certificate has new names: clients that have it as a file need it again, nodes do not",
			"hint", "overland site certificate "+s.Dir)
	}
	return nil
}

// keepCertified returns the service that gives the site a certificate for the addresses that the
// machine gets while it runs.
func (s *Site) keepCertified(listen string, o Options) Service {
	return every("certificate", o.Refresh, func(ctx context.Context) {
		if err := s.certify(o, listen); err != nil && ctx.Err() == nil {
			o.Log.Warn("the certificate cannot be made again for new addresses", "error", err)
		}
	})
}

// Certificate returns the certificate of the site in dir, in PEM: what ordinary TLS clients are
// given as the one authority for this site. It is made for the names that the site has when it
// listens on listen, "" = what site.yaml says, else every address.
func Certificate(dir, listen string) ([]byte, error) {
	if err := refuseOther(dir); err != nil {
		return nil, err
	}
	written, err := ReadSettings(dir)
	if err != nil {
		return nil, err
	}
	of, err := namesOf(written.Names, cmp.Or(listen, written.Listen, defaultListen))
	if err != nil {
		return nil, err
	}
	cert, _, err := identity(fsx.FS{}, home.TLS.In(dir), of)
	if err != nil {
		return nil, fmt.Errorf("site %s: %w", dir, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: certType, Bytes: cert.Leaf.Raw}), nil
}
