package printer

import (
	"slices"
	"strings"
)

// Error returns what err says as one sentence: errors that were joined stand behind each other, with
// what they all begin with said once, and a prefix that was put twice is there once. Line ends in
// what others said stay.
func Error(err error) string {
	text := err.Error()
	switch u := err.(type) { //nolint:errorlint // each level in turn
	case interface{ Unwrap() error }:
		if inner := u.Unwrap(); inner != nil {
			return wrapped(text, inner)
		}
	case interface{ Unwrap() []error }:
		var raw, parts []string
		for _, inner := range u.Unwrap() {
			raw = append(raw, inner.Error())
			parts = append(parts, Error(inner))
		}
		if len(raw) > 0 && text == strings.Join(raw, "\n") {
			return joined(parts)
		}
		for i := range raw {
			text = strings.Replace(text, raw[i], parts[i], 1)
		}
	}
	return text
}

// wrapped returns text, which was made around inner.
func wrapped(text string, inner error) string {
	before, after, ok := strings.Cut(text, inner.Error())
	if !ok {
		return text
	}
	said := Error(inner)
	if before != "" && after == "" && strings.HasPrefix(said, before) {
		return said
	}
	return before + said + after
}

// joined returns parts, each once, behind each other.
func joined(parts []string) string {
	first := parts[0]
	list := []string{first}
	for _, part := range parts[1:] {
		if rest := part[shared(first, part):]; part != first && !slices.Contains(list, rest) {
			list = append(list, rest)
		}
	}
	return strings.Join(list, "; ")
}

// shared returns how many bytes of "what: where: " a and b both begin with.
func shared(a, b string) (n int) {
	const colon = ": "
	for {
		next := strings.Index(b[n:], colon)
		if next < 0 || !strings.HasPrefix(a, b[:n+next+len(colon)]) {
			return n
		}
		n += next + len(colon)
	}
}
