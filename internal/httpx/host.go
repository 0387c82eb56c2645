package httpx

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"overland/internal/errs"
)

const addressesFor = 10 * time.Second // that a machine's addresses are believed

// Hosts are the names and addresses by which a server may be asked. A web page on another site, whose
// name its owner points at this machine (DNS rebinding), is not among them: a browser sends that name.
// Loopback and the machine's own addresses always are. It is safe for concurrent use.
type Hosts struct {
	Names  []string // more of them: names and addresses, without a port
	Hint   string   // how one is added, with %s for the name that was asked for; "" = nothing is said
	Errors Errors   // how a client is told

	mu   sync.Mutex
	own  []netip.Addr
	when time.Time
}

// Guard returns next for requests to this server, and status 421 (RFC 9110 §15.5.20) for others. proxy
// gets those that ask a proxy for something elsewhere, in absolute form or by CONNECT; nil = this
// is not a proxy.
func (h *Hosts) Guard(next, proxy http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case h.are(r):
			next.ServeHTTP(w, r)
		case r.URL.Host != "" && proxy != nil:
			proxy.ServeHTTP(w, r)
		default:
			err := errs.Errorf(errs.Denied, "this server is not known as %.100q", r.Host)
			if name, _ := hostOf(r.Host); h.Hint != "" && name != "" {
				err = errs.Hint(err, h.Hint, fmt.Sprintf("%.100s", name))
			}
			h.Errors.Write(w, r, WithStatus(err, http.StatusMisdirectedRequest))
		}
	})
}

// are reports whether r is for this server.
func (h *Hosts) are(r *http.Request) bool {
	if r.Host == "" { // HTTP/1.0, which no browser speaks
		return !r.ProtoAtLeast(1, 1)
	}
	name, ok := hostOf(r.Host)
	if !ok {
		return false
	}
	if slices.ContainsFunc(h.Names, func(s string) bool { return strings.EqualFold(strings.TrimSuffix(s, "."), name) }) {
		return true
	}
	ip, err := netip.ParseAddr(name)
	if err != nil {
		return strings.EqualFold(name, "localhost")
	}
	ip = ip.Unmap().WithZone("")
	named := func(s string) bool { n, err := netip.ParseAddr(s); return err == nil && n.Unmap() == ip }
	if ip.IsLoopback() || slices.ContainsFunc(h.Names, named) {
		return true
	}
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && addressOf(at) == ip {
		return true
	}
	return h.has(ip)
}

// hostOf returns the host of a Host header, without port, brackets and the last dot.
func hostOf(s string) (name string, ok bool) {
	if host, port, err := net.SplitHostPort(s); err == nil {
		if strings.Trim(port, "0123456789") != "" {
			return "", false
		}
		s = host
	} else if inner, isV6 := strings.CutPrefix(s, "["); isV6 {
		if s, ok = strings.CutSuffix(inner, "]"); !ok {
			return "", false
		}
	}
	s = strings.TrimSuffix(s, ".")
	return s, s != "" && !strings.ContainsAny(s, "[]/@ ")
}

func addressOf(a net.Addr) netip.Addr {
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap().WithZone("")
}

// has reports whether ip is an address of this machine.
func (h *Hosts) has(ip netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.when) > addressesFor {
		h.own, _ = Addresses() // none when they cannot be read
		h.when = time.Now()
	}
	return slices.Contains(h.own, ip)
}

// Addresses returns the addresses of this machine's interfaces that are up.
func Addresses() (list []netip.Addr, err error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of this machine: %w", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Addr().Unmap().WithZone(""))
		}
	}
	return list, nil
}
