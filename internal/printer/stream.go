package printer

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Writer writes what it gets as Text has it. A character or a colour that a Write cuts in two is held
// until the next one, or Close. It is not safe for concurrent use.
type Writer struct {
	w    io.Writer
	held string
}

// To returns a Writer to w.
func To(w io.Writer) *Writer { return &Writer{w: w} }

// Write implements io.Writer.
func (p *Writer) Write(b []byte) (int, error) {
	s := p.held + string(b)
	n := len(s) - cut(s)
	p.held = s[n:]
	if _, err := io.WriteString(p.w, Text(s[:n])); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close writes what is held. The writer below stays open.
func (p *Writer) Close() error {
	_, err := io.WriteString(p.w, Text(p.held))
	p.held = ""
	return err
}

// cut returns how many bytes at the end of s may be the beginning of something longer.
func cut(s string) int {
	if strings.HasSuffix(s, "\r") {
		return 1
	}
	if at := strings.LastIndexByte(s, escape); at >= 0 && len(s)-at <= longest {
		rest := s[at+1:]
		if rest == "" || rest[0] == '[' && strings.Trim(rest[1:], "0123456789;:") == "" {
			return len(s) - at
		}
	}
	for n := 1; n < utf8.UTFMax && n <= len(s); n++ {
		if tail := s[len(s)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRuneInString(tail) {
				return n
			}
			break
		}
	}
	return 0
}
