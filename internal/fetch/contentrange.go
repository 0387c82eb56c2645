package fetch

import (
	"fmt"
	"strconv"
	"strings"
)

// contentRange is a parsed Content-Range (RFC 9110 §14.4). Unknown numbers are -1; an unsatisfied range has no first
// and last.
type contentRange struct{ first, last, size int64 }

// parseContentRange reads "bytes 5-9/10", "bytes 5-9/*" or "bytes */10".
func parseContentRange(s string) (contentRange, error) {
	bad := fmt.Errorf("%w: Content-Range %q", ErrAnswer, s[:min(len(s), 80)])
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return contentRange{}, bad
	}
	r := contentRange{-1, -1, -1}
	if total != "*" {
		if r.size, ok = number(total); !ok {
			return contentRange{}, bad
		}
	}
	if span == "*" {
		if r.size < 0 {
			return contentRange{}, bad
		}
		return r, nil
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return contentRange{}, bad
	}
	if r.first, ok = number(first); !ok {
		return contentRange{}, bad
	}
	if r.last, ok = number(last); !ok || r.last < r.first || r.size >= 0 && r.last >= r.size {
		return contentRange{}, bad
	}
	return r, nil
}

// number reads digits alone: no sign, no space.
func number(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
