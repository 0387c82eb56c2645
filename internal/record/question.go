package record

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"overland/internal/lockfile"
)

// What an answer depends on, besides the URL (docs/decisions/0059). A recorder puts each question
// once that differs in a field which is always thought of, says who somebody is, or is named by the
// origin's Vary. A lock tells only those questions apart that need it: see lines and pick.

// thought returns the fields, by name in lower case, that are always thought of.
func thought() []string {
	return []string{"accept", "accept-encoding", "accept-language", "git-protocol", "range"}
}

// strict returns the fields that are in a lock whenever they ask for something in particular, since
// origins do not always say that they heed them.
func strict() []string { return []string{"accept", "git-protocol"} }

// asked returns the value of the field name in the header of a request, one text for all ways to say
// the same; "" = nothing in particular.
func asked(h http.Header, name string) string {
	v := clean(strings.Join(h[http.CanonicalHeaderKey(name)], ", "))
	switch {
	case name == "accept" && v == "*/*":
		return ""
	case name == "accept-encoding":
		return strings.Join(codings(v), ", ")
	}
	return v
}

// clean returns v without control characters, as a line of a lock holds it.
func clean(v string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, v))
}

// codings returns what an Accept-Encoding (RFC 9110 §12.5.3) accepts besides the bytes as they are.
func codings(v string) (list []string) {
	for part := range strings.SplitSeq(strings.ToLower(v), ",") {
		part = strings.ReplaceAll(strings.TrimSpace(part), " ", "")
		coding, q, _ := strings.Cut(part, ";")
		refused := strings.HasPrefix(q, "q=") && strings.Trim(q, "q=0.") == ""
		if coding != "" && coding != "identity" && !refused {
			list = append(list, part)
		}
	}
	return list
}

// varied returns the names in the Vary of an answer.
func varied(f lockfile.Fields) (list []string) {
	for _, line := range f.Lines() {
		if value, ok := strings.CutPrefix(line, "vary: "); ok {
			for name := range strings.SplitSeq(strings.ToLower(value), ",") {
				if name = strings.TrimSpace(name); name != "" && name != "*" {
					list = append(list, name)
				}
			}
		}
	}
	return list
}

// question returns the part of a request with the header h that its answer may depend on, when it
// varies on the fields in more too. It is kept in memory only: it holds secrets.
func question(h http.Header, more []string) string {
	names := map[string]bool{}
	for _, name := range slices.Concat(thought(), more) {
		names[name] = true
	}
	for name := range h {
		if name = strings.ToLower(name); lockfile.Secret(name) {
			names[name] = true
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if v := asked(h, name); v != "" {
			b.WriteString(name + ": " + v + "\n")
		}
	}
	return b.String()
}

// pick returns the entry of list, which is all that is locked under one key, that answers a request
// with the header h: the one that fits best.
func pick(list []lockfile.Entry, h http.Header) (best lockfile.Entry, ok bool) {
	names := map[string]bool{}
	for _, name := range strict() {
		names[name] = true
	}
	for _, e := range list {
		for _, name := range e.Asked.Names() {
			names[name] = true
		}
		for _, name := range varied(e.Header) {
			names[name] = names[name] || !lockfile.Secret(name)
		}
	}
	most := -1
	for _, e := range list {
		sum := 0
		for name, counts := range names {
			if !counts {
				continue
			}
			n := fits(e, name, h)
			if n < 0 {
				sum = -1
				break
			}
			sum += n
		}
		if sum > most {
			best, ok, most = e, true, sum
		}
	}
	return best, ok
}

// fits returns how well e answers what h says of the field name: less than 0 = not at all.
func fits(e lockfile.Entry, name string, h http.Header) int {
	const exactly, well, not = 2, 1, -1
	want, _ := e.Asked.Get(name)
	got := asked(h, name)
	switch {
	case name == "cookie":
		if sameCookies(want, got) {
			return exactly
		}
	case lockfile.Secret(name):
		if want == "" && got == "" || want != "" && isOf(want, got) {
			return exactly
		}
	case want == got:
		return exactly
	case name == "accept-encoding":
		coding, _ := e.Header.Get("content-encoding")
		accepted := slices.ContainsFunc(codings(got), func(c string) bool { c, _, _ = strings.Cut(c, ";"); return c == coding || c == "*" })
		if coding == "" || accepted {
			return well
		}
	case name == "range" && want == "":
		return well
	}
	return not
}
