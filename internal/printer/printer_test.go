package printer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"overland/internal/printer"
)

type word string

type secret int

func (secret) String() string { return "\x1b[2J" }

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain, größer, 日本語, नमस्ते, \u200f": "plain, größer, 日本語, नमस्ते, \\u200f",
		"می\u200cخواهم 👩\u200d🚀":             "می\u200cخواهم 👩\u200d🚀", // with joiners
		"two\nlines\tand a tab":              "two\nlines\tand a tab",
		"dos\r\n":                            "dos\n",
		"ok\rbad":                            `ok\rbad`,
		"\x1b[2J\x1b[H":                      `\u001b[2J\u001b[H`,
		"\x1b[1;31merror\x1b[0m\x1b[K":       "error",
		"\x1b\x1b[0m[2J":                     `\u001b[2J`, // what is left when a colour goes is not a sequence
		"\x1b]0;title\x07":                   `\u001b]0;title\u0007`,
		"\x1b]52;c;ZXZpbA==\x1b\\":           `\u001b]52;c;ZXZpbA==\u001b\`,
		"\u009b2J":                           `\u009b2J`,
		"\x9b2J":                             `\x9b2J`,
		"user\u202etxt.exe":                  `user\u202etxt.exe`,
		"\u2066a\u2069":                      `\u2066a\u2069`,
		"a\u200bb\ufeff\u2028":               `a\u200bb\ufeff\u2028`,
		"\U000e0041":                         `\udb40\udc41`,
		"\x00\x7f\b":                         `\u0000\u007f\u0008`,
		"\ufffd":                             "\ufffd",
	} {
		if got := printer.Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := printer.Line("a\r\n\tb"); got != `a\r\n\tb` {
		t.Errorf("a line: %q", got)
	}
}

// What an argument says stays in the line of the format.
func TestAnArgumentBeginsNoLine(t *testing.T) {
	const bad = "x\nservice\twallet running\x1b[8m"
	got := printer.Sprintf("%s|%v|%-3d|%v|%v|%v|%.1f|%s\n", bad, errors.New(bad), 7, word(bad), []string{bad}, secret(3), 1.5, []byte(bad))
	const clean = `x\nservice\twallet running`
	want := fmt.Sprintf("%s|%s|7  |%s|[%s]|\\u001b[2J|1.5|%[1]s\n", clean, clean, clean, clean)
	if got != want {
		t.Errorf("\n%q, want\n%q", got, want)
	}
}

// FuzzPrinter: what is printed holds nothing that a terminal obeys, is printed again as it is, and does
// not depend on how a stream is cut.
func FuzzPrinter(f *testing.F) {
	for _, s := range []string{"a\x1b[31mb\x1b[0", "\r\n\r", "\x1b\x1b[m[m", "\xe2\x80", "\u202e\u009b", "\x1b[" + strings.Repeat("1", 28) + "m", "\x1b[" + strings.Repeat("1", 29) + "m", "\x1b[" + strings.Repeat("1", 30) + "m"} {
		f.Add(s, uint8(1))
	}
	f.Fuzz(func(t *testing.T, s string, step uint8) {
		text, line := printer.Text(s), printer.Line(s)
		for _, got := range []string{text, line} {
			for _, r := range got {
				if r < ' ' && (r != '\n' && r != '\t' || got == line && text != line) || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
					t.Fatalf("%q prints %q", s, got)
				}
			}
			if !utf8.ValidString(got) {
				t.Fatalf("%q prints %q, which is not text", s, got)
			}
		}
		if strings.ContainsAny(line, "\n\t") || printer.Text(text) != text || printer.Line(line) != line {
			t.Fatalf("%q: %q, %q", s, text, line)
		}
		var out strings.Builder
		w := printer.To(&out)
		for rest := s; rest != ""; {
			n := min(len(rest), int(step)+1)
			if m, err := w.Write([]byte(rest[:n])); m != n || err != nil {
				t.Fatal(m, err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil || out.String() != text {
			t.Fatalf("%q in steps of %d: %q, want %q, %v", s, step, &out, text, err)
		}
	})
}
