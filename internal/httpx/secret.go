package httpx

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Mask stands in an address in the place of a secret.
const Mask = "xxxxx"

// Secret reports whether a parameter of a URL that is called name proves who may have it: a token, a
// key, a signature. The marks with which an API pages through its answers are none.
func Secret(name string) bool {
	plain := strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name))
	has := func(word string) bool { return strings.Contains(plain, word) }
	if slices.ContainsFunc([]string{
		"secret", "passw", "passphrase", "signature", "credential", "apikey", "accesskey", "accesstoken", "privatekey", "oauth", "jwt", "bearer", "hmac", "session", "ticket",
	}, has) {
		return true
	}
	if has("token") {
		return !slices.ContainsFunc([]string{"page", "continuation", "cursor"}, has)
	}
	return slices.Contains([]string{
		"sig", "sign", "key", "pass", "pwd", "pw", "psk", "otp", "auth", "authorization", "sid", "sas", "hdnts", "hdnea",
	}, plain)
}

// MaskQuery returns query, what stands behind the "?" of a URL, with each secret replaced by a mark,
// and the secrets themselves in one string; "" = there are none. Everything else stays as it is written.
func MaskQuery(query string) (masked, secrets string) {
	var b, found strings.Builder
	for rest := query; rest != ""; {
		end := strings.IndexAny(rest, "&;")
		if end < 0 {
			end = len(rest)
		}
		name, value, _ := strings.Cut(rest[:end], "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			plain = name
		}
		switch {
		case !Secret(plain), value == Mask, value == "" && strings.HasSuffix(rest[:end], "="), name == Mask:
			b.WriteString(rest[:end])
		case value == "": // a flag, or the secret itself
			b.WriteString(Mask)
			found.WriteString(name + "\n")
		default:
			b.WriteString(name + "=" + Mask)
			found.WriteString(value + "\n")
		}
		if end < len(rest) {
			b.WriteByte(rest[end])
			end++
		}
		rest = rest[end:]
	}
	return b.String(), found.String()
}

// Redacted returns the URL s without the secrets that it may hold, for logs, errors and whatever else
// is kept: the user's name and password, and the parameters that MaskQuery masks. What is not a URL
// may hold one anywhere, and is not shown at all.
func Redacted(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "an address that is not a URL"
	}
	return RedactedURL(u)
}

// RedactedTarget is Redacted for what a program names, which need not be a URL, and without the login's
// mark: a person shall see which address cannot be read.
func RedactedTarget(s string) string {
	at, query, asks := strings.Cut(s, "?")
	if scheme, rest, ok := strings.Cut(at, "://"); ok {
		if host, _, _ := strings.Cut(rest, "/"); strings.Contains(host, "@") || strings.Contains(host, ":") && !port.MatchString(host) {
			rest = rest[strings.LastIndex(rest, "@")+1:] // a password may have a slash in it
		}
		at = scheme + "://" + rest
	}
	if query, _ = MaskQuery(query); asks {
		at += "?" + query
	}
	return at
}

// port matches a host with one.
var port = regexp.MustCompile(`:[0-9]*$`)

// RedactedURL is Redacted for a URL that is parsed.
func RedactedURL(u *url.URL) string {
	clean := *u
	if u.User != nil {
		clean.User = url.User(Mask) // a name may be a token too
	}
	clean.RawQuery, _ = MaskQuery(u.RawQuery)
	if masked, found := MaskQuery(u.EscapedFragment()); found != "" {
		clean.Fragment, clean.RawFragment = masked, ""
	}
	return clean.String()
}

// RedactedError returns err, of an http.Client, with the address that it names as Redacted has it: of
// a redirect too, which is where signed addresses come from.
func RedactedError(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		u.URL = Redacted(u.URL) // the client made it for this call
	}
	return err
}

// address matches a URL in a text.
var address = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>|]+`)

// RedactedText returns s, for people, with each URL in it that holds a secret as Redacted has it: for
// what other programs say, and as the last look at what is printed or answered.
func RedactedText(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	return address.ReplaceAllStringFunc(s, func(found string) string {
		u, err := url.Parse(found)
		if err != nil {
			return RedactedTarget(found)
		}
		_, query := MaskQuery(u.RawQuery)
		_, fragment := MaskQuery(u.EscapedFragment())
		if u.User == nil && query == "" && fragment == "" {
			return found
		}
		return RedactedURL(u)
	})
}

// WithoutLogins returns s, what a server has said, without what it was sent as Authorization: some say it again. English words
// have no capital in the middle.
func WithoutLogins(s string) string {
	return regexp.MustCompile(`((?i:\b(?:basic|bearer))) +[\w+/.~-]+[A-Z0-9=][\w+/.~=-]*`).ReplaceAllString(s, "$1 "+Mask)
}
