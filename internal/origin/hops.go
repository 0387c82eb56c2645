package origin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"overland/internal/errs"
	"overland/internal/httpx"
)

// reach is how far away an address is. What an origin names, by a redirect or in a document, is never
// nearer than the origin itself: else whoever is asked has this machine ask its own services, or its
// neighbours', in its place.
type reach int

const (
	here   reach = iota // loopback, link-local and the like
	inside              // a private network
	far                 // anywhere, or not known: a proxy connects
)

func reachOf(ip netip.Addr) reach {
	if ip = ip.Unmap(); translated.Contains(ip) {
		all := ip.As16()
		ip = netip.AddrFrom4([4]byte(all[len(all)-4:]))
	}
	switch {
	case !ip.IsValid():
		return far
	case ip.IsLoopback(), ip.IsUnspecified(), ip.IsLinkLocalUnicast(), ip.IsMulticast():
		return here
	case ip.IsPrivate(), shared.Contains(ip):
		return inside
	}
	return far
}

// translated is RFC 6052's: a NAT64 leads to the IPv4 address at its end.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// shared is RFC 6598's, in which carriers and clouds have services.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// reachOfHost returns how near the host of u is as it is written: far for a name.
func reachOfHost(u *url.URL) reach {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return here
	}
	ip, _ := netip.ParseAddr(host)
	return reachOf(ip)
}

// reachOfOrigin returns how near the origin at address is: the nearest address of its name.
func reachOfOrigin(ctx context.Context, address string) reach {
	u, err := url.Parse(address)
	if err != nil {
		return far
	}
	near := reachOfHost(u)
	if near < far || proxied(&http.Request{URL: u}) {
		return near
	}
	ips, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	for _, ip := range ips {
		near = min(near, reachOf(ip))
	}
	return near
}

func proxied(r *http.Request) bool {
	via, err := http.ProxyFromEnvironment(r)
	return err == nil && via != nil
}

// hops sends the requests of a transfer, its redirects too.
type hops struct {
	t   *transfer
	led bool         // the next address comes from an origin
	at  reach        // which is as near as this
	own []netip.Addr // of this machine, when nothing of it may be asked
}

// newHops returns what sends the requests of t.
func newHops(ctx context.Context, t *transfer) (*hops, error) {
	h := &hops{t: t, led: t.r.Named != "" || t.r.Beyond}
	if t.r.Named != "" {
		h.at = reachOfOrigin(ctx, t.r.Named)
	}
	if !t.r.Beyond {
		return h, nil
	}
	h.at = max(h.at, inside)
	var err error
	h.own, err = httpx.Addresses()
	return h, err
}

// reachOf is how near ip is to whoever asks.
func (h *hops) reachOf(ip netip.Addr) reach {
	if slices.Contains(h.own, ip.Unmap().WithZone("")) {
		return here
	}
	return reachOf(ip)
}

// RoundTrip implements http.RoundTripper. Nothing is sent over a connection that leads too near.
func (h *hops) RoundTrip(r *http.Request) (*http.Response, error) {
	least := h.at
	if !h.led {
		least = here
	}
	h.led = true
	res, at, err := noNearer(h.t.c.RoundTripper(), r, least, h.reachOf)
	if errors.Is(err, errNear) {
		return nil, h.near()
	}
	h.at = at
	return res, err
}

// errNear is the error of noNearer for an address that is nearer.
var errNear = errs.Errorf(errs.Untrusted, "leads to an address that is nearer than itself")

// noNearer sends r by rt, and returns how near the answer came from: errNear, before anything is sent, when that is nearer
// than least.
func noNearer(rt http.RoundTripper, r *http.Request, least reach, reachOf func(netip.Addr) reach) (*http.Response, reach, error) {
	via, at, refused := proxied(r), reachOfHost(r.URL), false
	if at < least {
		return nil, at, errNear
	}
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		if via {
			return
		}
		to, _ := netip.ParseAddrPort(c.Conn.RemoteAddr().String())
		if at = reachOf(to.Addr()); at < least {
			refused = true
			_ = c.Conn.Close()
		}
	}})
	res, err := rt.RoundTrip(r.WithContext(ctx))
	if refused {
		if err == nil {
			_ = res.Body.Close()
		}
		return nil, at, errNear
	}
	return res, at, err
}

func (h *hops) near() error {
	if h.t.r.Beyond {
		return errs.Hint(errs.Errorf(errs.Untrusted, "%s: is of this machine itself, and a command in a cell reaches nothing of it", h.t.name),
			"where the command is meant to have it, let what is recorded ask for it first: overland record -- sh -c 'curl URL && overland build'")
	}
	return errs.Hint(errs.Errorf(errs.Untrusted, "%s: leads to an address that is nearer than itself", h.t.name),
		"an origin names no service of this machine's or of its network: if this one may, configure what it leads to")
}

// leave removes from a redirect what is for the host of the first request alone: another port is
// another host, and so is one without TLS.
func leave(req, first *http.Request) {
	if req.URL.Host != first.URL.Host || req.URL.Scheme == "http" && first.URL.Scheme == "https" {
		for _, name := range []string{"Authorization", "Cookie"} {
			req.Header.Del(name)
		}
	}
}
