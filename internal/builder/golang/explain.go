package golang

import (
	"regexp"

	"overland/internal/errs"
)

// The Go command explains itself in text only. These patterns come from its own source and that of
// package net, and are tried in order.
var (
	saysUntrusted = regexp.MustCompile(`SECURITY ERROR|checksum mismatch|checksum database disabled|invalid signature|does not match`)
	saysDisabled  = regexp.MustCompile(`module lookup disabled by GOPROXY`)
	saysNoNetwork = regexp.MustCompile(`dial (tcp|udp)|no such host|connection (refused|reset)|network is unreachable|` +
		`i/o timeout|TLS handshake|tls: |x509: |unexpected EOF|: EOF|deadline exceeded|Client\.Timeout|server misbehaving|` +
		`proxyconnect|no route to host|Could not resolve|Bad Gateway|Service Unavailable|Gateway Time|Too Many Requests|` +
		`50[0234] |429 `)
	saysNotThere = regexp.MustCompile(`40[34] |410 Gone|unknown revision|invalid version`)
)

// notFetched returns what a person needs to know when a Go command could not fetch what.
func notFetched(what, said string) error {
	switch {
	case saysUntrusted.MatchString(said):
		return errs.Hint(errs.Errorf(errs.Untrusted, "fetch %s: %s", what, said),
			"somebody changed it on the way, or the checksum database is off: go env GOPROXY GOSUMDB")
	case saysDisabled.MatchString(said):
		return errs.Hint(errs.Errorf(errs.Unavailable, "fetch %s: not in the module cache, and GOPROXY is off: %s", what, said),
			"build once with a network, or set GOPROXY to a proxy that can be reached")
	case saysNoNetwork.MatchString(said):
		return errs.Hint(errs.Errorf(errs.Unavailable, "fetch %s: no module proxy can be reached: %s", what, said),
			"check the network and go env GOPROXY; what is in the module cache needs neither")
	case saysNotThere.MatchString(said):
		return errs.Hint(errs.Errorf(errs.NotFound, "fetch %s: %s", what, said),
			"check its version; a private module needs GOPRIVATE and credentials")
	}
	return errs.Hint(errs.Errorf(errs.Invalid, "fetch %s: %s", what, said), "go mod tidy, then commit go.mod and go.sum")
}
