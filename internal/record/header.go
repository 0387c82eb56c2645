package record

import (
	"net/http"
	"slices"
	"strings"

	"overland/internal/lockfile"
)

// fieldsOf returns the header of an answer, without what belongs to the connection that it came on,
// and its Content-Type when media does not say as much.
func fieldsOf(h http.Header, media string) lockfile.Fields {
	drop := []string{"content-length"}
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(strings.ToLower(v), ",") {
			drop = append(drop, strings.TrimSpace(name))
		}
	}
	var lines []string
	for name, values := range h {
		name = strings.ToLower(name)
		if hopByHop(name) || slices.Contains(drop, name) {
			continue
		}
		for _, v := range values {
			if v = clean(v); name != "content-type" || v != media {
				lines = append(lines, name+": "+v)
			}
		}
	}
	return lockfile.NewFields(lines)
}

// hopByHop reports whether the field name is between neighbours only (RFC 9110 §7.6.1).
func hopByHop(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "proxy-authentication-info",
		"te", "trailer", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// kept returns the fields of f, the header of an answer to key, that a lock holds: not those that say
// something of the moment, of the servers on the way or to a browser, and no secrets.
func (i *identities) kept(key string, f lockfile.Fields) lockfile.Fields {
	var lines []string
	for _, line := range f.Lines() {
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case passing(name):
			continue
		case name == "set-cookie":
			value = i.setCookie(key, value)
		case lockfile.Secret(name):
			value = i.handed(key, name, value)
		}
		lines = append(lines, name+": "+value)
	}
	clean, _ := lockfile.NewFields(lines).Masked()
	return clean
}

// passing reports whether a field of an answer is of no use in a replay.
func passing(name string) bool {
	for _, prefix := range []string{
		"access-control-", "cf-", "content-security-policy", "cross-origin-", "ratelimit-", "sec-", "x-amz-cf-", "x-b3-", "x-cache", "x-ratelimit-", "x-trace",
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "age", "alt-svc", "date", "expect-ct", "expires", "nel", "origin-agent-cluster", "p3p", "permissions-policy", "referrer-policy", "report-to",
		"reporting-endpoints", "server", "server-timing", "strict-transport-security", "traceparent", "via", "x-amz-id-2", "x-amz-request-id",
		"x-content-type-options", "x-correlation-id", "x-envoy-upstream-service-time", "x-frame-options", "x-github-request-id", "x-powered-by",
		"x-request-id", "x-runtime", "x-served-by", "x-timer", "x-varnish", "x-xss-protection":
		return true
	}
	return false
}
