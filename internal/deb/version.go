package deb

import "strings"

// CompareVersions returns -1, 0 or 1 when version a is older than b, equal or newer, in the order
// of deb-version(7): an epoch, then the upstream version, then the revision. Any text has a place
// in that order.
func CompareVersions(a, b string) int {
	ea, a := epoch(a)
	eb, b := epoch(b)
	if c := compareNumbers(ea, eb); c != 0 {
		return c
	}
	ua, ra := revision(a)
	ub, rb := revision(b)
	if c := comparePart(ua, ub); c != 0 {
		return c
	}
	return comparePart(ra, rb)
}

func epoch(v string) (number, rest string) {
	if number, rest, ok := strings.Cut(v, ":"); ok {
		return number, rest
	}
	return "", v
}

func revision(v string) (upstream, rev string) {
	if at := strings.LastIndexByte(v, '-'); at >= 0 {
		return v[:at], v[at+1:]
	}
	return v, ""
}

// comparePart compares, in turn, what is before the next digits and those digits as a number.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		for notDigit(a) || notDigit(b) {
			if x, y := weight(a), weight(b); x != y {
				return sign(x - y)
			}
			a, b = a[1:], b[1:] // equal weights: neither has ended
		}
		na, nb := digits(a), digits(b)
		if c := compareNumbers(a[:na], b[:nb]); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return 0
}

// weight returns the place of the first byte of s: "~" is before the end, that is before letters,
// and they are before all else. A digit ends the part as the end does.
func weight(s string) int {
	const after = 256
	switch {
	case s == "" || isDigit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z':
		return int(s[0])
	}
	return int(s[0]) + after
}

func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return sign(len(a) - len(b))
	}
	return strings.Compare(a, b)
}

func notDigit(s string) bool { return s != "" && !isDigit(s[0]) }
func isDigit(c byte) bool    { return c >= '0' && c <= '9' }

func digits(s string) (n int) {
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
