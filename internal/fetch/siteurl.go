package fetch

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"overland/internal/errs"
	"overland/internal/httpx"
)

// Pin is the raw sha256 of a certificate's subject public key info (RFC 7469
// §2.4): what a site is known by.
type Pin [sha256.Size]byte

// PinOf returns the Pin of a certificate.
func PinOf(cert *x509.Certificate) Pin { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// String returns "sha256:" and 64 lower-case hex digits, as in a site's URL.
func (p Pin) String() string { return "sha256:" + hex.EncodeToString(p[:]) }

// SiteURL is where a site is and which key it must show: "https://10.0.0.1:8443#sha256:HEX".
type SiteURL struct {
	Addr netip.AddrPort
	Pin  Pin
}

// String returns the URL that ParseSiteURL reads.
func (u SiteURL) String() string { return u.Base() + "#" + u.Pin.String() }

// Base returns the URL without the pin.
func (u SiteURL) Base() string {
	return "https://" + strings.Replace(u.Addr.String(), "%", "%25", 1) // an IPv6 zone, RFC 6874
}

const (
	siteURLLimit = 512
	defaultPort  = 443
	zoneLimit    = 15 // the longest name of a network interface on Linux
	sitePattern  = "https://10.0.0.1:8443#sha256:… (overland site init prints it)"
)

// ParseSiteURL reads a site's URL. The host is a literal IP address, so that it works with DNS
// dead; the fragment is the pin. Errors are of kind Invalid and show the form.
func ParseSiteURL(raw string) (SiteURL, error) {
	u, err := parseSiteURL(raw)
	if err != nil {
		err = errs.E(errs.Invalid, fmt.Errorf("site URL %q: %w", httpx.RedactedText(raw[:min(len(raw), siteURLLimit)]), err))
		return SiteURL{}, errs.Hint(err, "write it as %s", sitePattern)
	}
	return u, nil
}

func parseSiteURL(raw string) (SiteURL, error) {
	if len(raw) > siteURLLimit {
		return SiteURL{}, fmt.Errorf("longer than %d characters", siteURLLimit)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return SiteURL{}, err
	}
	switch {
	case u.Scheme != "https":
		return SiteURL{}, fmt.Errorf("not https")
	case u.Opaque != "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Trim(u.Path, "/") != "":
		return SiteURL{}, fmt.Errorf("more than an address and a pin")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return SiteURL{}, fmt.Errorf("the host is not an IP address")
	}
	if zone := ip.Zone(); len(zone) > zoneLimit || strings.ContainsFunc(zone, notInZone) {
		return SiteURL{}, fmt.Errorf("zone %q", zone)
	}
	port := uint64(defaultPort)
	if p := u.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return SiteURL{}, fmt.Errorf("port %q", p)
		}
	}
	pin, err := parsePin(u.Fragment)
	if err != nil {
		return SiteURL{}, err
	}
	return SiteURL{Addr: netip.AddrPortFrom(ip.Unmap(), uint16(port)), Pin: pin}, nil
}

func notInZone(c rune) bool {
	return !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("._-", c))
}

func parsePin(s string) (Pin, error) {
	h, ok := strings.CutPrefix(s, "sha256:")
	if !ok {
		return Pin{}, fmt.Errorf("no #sha256:… pin of the site's key")
	}
	raw, err := hex.DecodeString(h)
	if err != nil || len(raw) != sha256.Size {
		return Pin{}, fmt.Errorf("the pin is not 64 hex digits")
	}
	return Pin(raw), nil
}
