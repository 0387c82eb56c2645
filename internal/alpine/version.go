package alpine

import (
	"cmp"
	"slices"
	"strings"
)

// The kinds of a version's parts, in the order in which apk ranks what follows equal parts: of two versions, the one that
// goes on with the lower kind is the newer one, if that is not a suffix like _rc.
const (
	number   = iota // .2
	letter          // b
	suffix          // _rc
	suffixNo        // the 2 of _rc2
	commit          // ~0a1b2c
	revision        // -r2
	end
)

// suffixes are those that come before a version, and then, from index released on, after it.
var suffixes = []string{"alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"}

const released = 4

// part is a piece of a version.
type part struct {
	kind int
	n    int    // of a suffix: negative when it comes before the version; of a number: 1 minus its zeros in front
	text string // of a commit; of a number: what follows those zeros
}

// ValidVersion reports whether s is a version: digits{.digits}[letter]{_suffix[digits]}[~hash][-rdigits].
func ValidVersion(s string) bool {
	_, ok := parts(s)
	return ok
}

// parts takes s apart; ok reports whether it is a version. Of one that is not, the parts are those before what is wrong.
func parts(s string) (list []part, ok bool) {
	digits := func(kind int) bool {
		n := len(s) - len(strings.TrimLeft(s, "0123456789"))
		if n == 0 {
			return false
		}
		p := part{kind: kind, n: 1, text: strings.TrimLeft(s[:n], "0")}
		if kind == number && len(list) > 0 { // like a fraction's: .01 is before .1, and .001 before .01
			p.n -= n - len(p.text)
		}
		list = append(list, p)
		s = s[n:]
		return true
	}
	if !digits(number) {
		return nil, false
	}
	for strings.HasPrefix(s, ".") {
		if s = s[1:]; !digits(number) {
			return list, false
		}
	}
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		list = append(list, part{kind: letter, n: int(s[0])})
		s = s[1:]
	}
	for strings.HasPrefix(s, "_") {
		at := slices.IndexFunc(suffixes, func(x string) bool { return strings.HasPrefix(s[1:], x) })
		if at < 0 {
			return list, false
		}
		list = append(list, part{kind: suffix, n: at - released})
		s = s[1+len(suffixes[at]):]
		digits(suffixNo)
	}
	if rest, found := strings.CutPrefix(s, "~"); found {
		n := len(rest) - len(strings.TrimLeft(rest, "0123456789abcdef"))
		list = append(list, part{kind: commit, text: rest[:n]})
		if s = rest[n:]; n == 0 {
			return list, false
		}
	}
	if rest, found := strings.CutPrefix(s, "-r"); found {
		if s = rest; !digits(revision) {
			return list, false
		}
	}
	return append(list, part{kind: end}), s == ""
}

// CompareVersions returns -1, 0 or 1, as a is older than b, the same, or newer. What is not a version compares by the parts
// before what is wrong with it.
func CompareVersions(a, b string) int { return compare(a, b, false) }

// compare is CompareVersions; with prefix, a may go on where b ends and is the same.
func compare(a, b string, prefix bool) int {
	x, _ := parts(a)
	y, _ := parts(b)
	for i := 0; ; i++ {
		p, q := at(x, i), at(y, i)
		if p.kind != q.kind {
			switch {
			case prefix && q.kind == end:
				return 0
			case p.kind == suffix && p.n < 0:
				return -1
			case q.kind == suffix && q.n < 0:
				return 1
			}
			return cmp.Compare(q.kind, p.kind)
		}
		// Numbers may have any length: the longer one is larger.
		c := cmp.Or(cmp.Compare(p.n, q.n), cmp.Compare(len(p.text), len(q.text)), cmp.Compare(p.text, q.text))
		if c != 0 || p.kind == end {
			return c
		}
	}
}

func at(list []part, i int) part {
	if i < len(list) {
		return list[i]
	}
	return part{kind: end}
}
