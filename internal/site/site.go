package site

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"

	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/httpx"
	storedir "overland/internal/store/dir"
)

// Info is what a person needs to know of a site.
type Info struct {
	Dir string `json:"dir"`
	Pin string `json:"pin"` // "sha256:HEX" of the certificate's public key
	// Signs says that there is signed metadata: the site is no near copy of another one.
	Signs bool `json:"signs"`
}

// Site is an open site directory: what a running site has to have,
// opened once. It needs no closing.
type Site struct {
	Info
	cert  *atomic.Pointer[tls.Certificate]
	pin   fetch.Pin
	depot *storedir.Store
}

// Init makes the site directory dir, or completes it, and returns what to tell nodes. Another call
// changes nothing. The trust folder stays empty: `overland trust init` fills it.
func Init(dir string) (Info, error) {
	s, err := initialise(fsx.FS{}, dir)
	if err != nil {
		return Info{}, err
	}
	return s.Info, nil
}

// Open opens the site in dir and makes what is missing of it: all of it where nothing is, or the
// rest of what an operator's other work has made; made reports whether the site is new. A folder
// that holds anything else is errs.NotFound, and nothing is written.
func Open(dir string) (s *Site, made bool, err error) {
	if err := refuseOther(dir); err != nil {
		if errs.KindOf(err) != errs.NotFound || !mayBecome(dir) {
			return nil, false, err
		}
		made = true
	}
	s, err = initialise(fsx.FS{}, dir)
	return s, made, err
}

// mayBecome reports whether a site may be made in dir unasked: it is missing, empty,
// or holds trust, keys or a depot.
func mayBecome(dir string) bool {
	list, err := os.ReadDir(dir)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return len(list) == 0 || slices.ContainsFunc(list, func(e fs.DirEntry) bool {
		return e.IsDir() && slices.Contains([]home.Place{home.Trust, home.Keys, home.Depot}, home.Place(e.Name()))
	})
}

// refuseOther returns an error when dir is not a site, which has a key or at least its certificate:
// a verb that changes one thing of a site must not make one because of a typing error.
func refuseOther(dir string) error {
	for _, name := range []string{keyFile, certFile} {
		if _, err := os.Lstat(filepath.Join(home.TLS.In(dir), name)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return errs.Hint(errs.Errorf(errs.NotFound, "there is no site in %s", dir), "name another folder, or make a site there: overland site init %s", dir)
}

func initialise(f fsx.FS, dir string) (*Site, error) {
	s, err := makeSite(f, dir)
	if err != nil {
		return nil, fmt.Errorf("site %s: %w", dir, err)
	}
	return s, nil
}

func makeSite(f fsx.FS, dir string) (*Site, error) {
	if err := home.Make(f, dir); err != nil {
		return nil, err
	}
	for name, mode := range map[home.Place]os.FileMode{home.Trust: 0o755, home.Keys: 0o700} {
		if err := f.Mkdir(name.In(dir), mode); err != nil {
			return nil, err
		}
	}
	depot, err := storedir.Open(home.Depot.In(dir), storedir.Options{FS: f})
	if err != nil {
		return nil, err
	}
	cert, pin, err := identity(f, home.TLS.In(dir), names{})
	if err != nil {
		return nil, err
	}
	s := &Site{Info{Dir: dir, Pin: pin.String(), Signs: signs(dir)}, new(atomic.Pointer[tls.Certificate]), pin, depot}
	s.cert.Store(&cert)
	return s, nil
}

// URL returns the URL that nodes are given for the site when it listens
// on addr, an IP address and port.
func (i Info) URL(addr string) string { return "https://" + addr + "#" + i.Pin }

// URLs returns a URL for each address of this machine under which a site that listens on
// listen can be reached: the one address of listen, or those of all interfaces that are up,
// loopback only when there is no other.
func (i Info) URLs(listen string) ([]string, error) {
	host, port, err := parseListen(listen)
	if err != nil {
		return nil, err
	}
	var urls []string
	add := func(ip netip.Addr) { urls = append(urls, i.URL(netip.AddrPortFrom(ip, port).String())) }
	if host.IsValid() && !host.IsUnspecified() {
		add(host)
		return urls, nil
	}
	own, err := httpx.Addresses()
	if err != nil {
		return nil, err
	}
	for _, ip := range own {
		if ip.IsGlobalUnicast() && (!host.IsValid() || host.Is6() || ip.Is4()) {
			add(ip)
		}
	}
	if len(urls) == 0 {
		add(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	return urls, nil
}

// parseListen reads ":8443", "10.0.0.1:8443" or "[::]:0". The host is a
// literal IP address or missing.
func parseListen(listen string) (host netip.Addr, port uint16, err error) {
	name, number, err := net.SplitHostPort(listen)
	if err == nil {
		var n uint64
		n, err = strconv.ParseUint(number, 10, 16)
		port = uint16(n)
	}
	if err == nil && name != "" {
		host, err = netip.ParseAddr(name)
	}
	if err != nil {
		err = errs.E(errs.Invalid, fmt.Errorf("listen on %q: %w", listen, err))
		return netip.Addr{}, 0, errs.Hint(err, "write an IP address and a port: 10.0.0.1:8443, or :8443 for all addresses")
	}
	return host.Unmap(), port, nil
}
