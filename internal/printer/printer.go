package printer

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns s without anything that a terminal obeys but line ends and tabs. A CRLF is a line end.
func Text(s string) string { return clean(s, true) }

// Line returns s as a part of one line: line ends and tabs are shown as escapes too.
func Line(s string) string { return clean(s, false) }

// Block returns s as Text has it, with every line but the first indented: for errors and output of
// several lines, which must not look like lines of our own.
func Block(s string) string { return strings.ReplaceAll(Text(strings.TrimSpace(s)), "\n", "\n  ") }

// Fprintf writes to w as fmt.Fprintf does, but each string, error (as Error has it) and fmt.Stringer
// among args as Line has it, and the whole as Text. Errors of w are ignored, as of fmt.Print.
func Fprintf(w io.Writer, format string, args ...any) {
	_, _ = io.WriteString(w, Sprintf(format, args...))
}

// Sprintf returns what Fprintf writes.
func Sprintf(format string, args ...any) string {
	lines := make([]any, len(args))
	for i, a := range args {
		lines[i] = line(a)
	}
	return Text(fmt.Sprintf(format, lines...))
}

// line returns a, or what it prints when that is not fit for a line.
func line(a any) any {
	var s string
	switch v := a.(type) {
	case string:
		s = v
	case []byte:
		s = string(v)
	case error:
		if s = Error(v); s != v.Error() {
			return Line(s)
		}
	case fmt.Stringer:
		s = v.String()
	default:
		if s = fmt.Sprint(a); fit(s, false) {
			return a // numbers, lists, words of a type of their own
		}
	}
	if fit(s, false) {
		return a
	}
	return Line(s)
}

// fit reports whether clean would return s as it is.
func fit(s string, lines bool) bool {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return false
			}
		}
		if !plain(r) && (!lines || r != '\n' && r != '\t') {
			return false
		}
	}
	return true
}

// plain reports whether r is a character that is seen as what it is. The joiners are part of words.
func plain(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return strconv.IsGraphic(r) || r == nonJoiner || r == joiner
}

func clean(s string, lines bool) string {
	if fit(s, lines) {
		return s
	}
	var b strings.Builder
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case plain(r), lines && (r == '\n' || r == '\t'):
			b.WriteRune(r)
		case lines && strings.HasPrefix(s, "\r\n"): // the line end follows
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == escape && colour(s) > 0:
			size = colour(s)
		default:
			for _, u := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&b, `\u%04x`, u)
			}
		}
		s = s[size:]
	}
	return b.String()
}

const (
	escape  = 0x1b
	longest = 32 // bytes of a colour
)

// colour returns how long the sequence is that s begins with, if all that it does is to colour text
// or to clear the rest of a line, as compilers print; 0 when it does something else.
func colour(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	end := len(s) - len(strings.TrimLeft(s[2:], "0123456789;:"))
	if end < min(len(s), longest) && (s[end] == 'm' || s[end] == 'K') {
		return end + 1
	}
	return 0
}
