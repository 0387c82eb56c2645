package lockfile

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"overland/internal/httpx"
)

// FieldsLimit is the longest text of the fields of one entry, in bytes.
const FieldsLimit = 16 << 10

// Fields are header fields (RFC 9110 §5): lines "name: value" without a line break after the last,
// sorted by name, which is in lower case. Fields of one name keep their order. "" = none.
type Fields string

// NewFields returns the fields in lines, each "name: value", in any order.
func NewFields(lines []string) Fields {
	lines = slices.Clone(lines)
	sort.SliceStable(lines, func(i, j int) bool { return nameOf(lines[i]) < nameOf(lines[j]) })
	return Fields(strings.Join(lines, "\n"))
}

func nameOf(line string) string {
	name, _, _ := strings.Cut(line, ":")
	return name
}

// Lines returns the lines of f; nil = none.
func (f Fields) Lines() []string {
	if f == "" {
		return nil
	}
	return strings.Split(string(f), "\n")
}

// Names returns the names of the fields, in lower case and their order.
func (f Fields) Names() []string {
	names := f.Lines()
	for i, line := range names {
		names[i], _, _ = strings.Cut(line, ":")
	}
	return names
}

// Get returns the first value of name, which is in lower case, and whether there is one.
func (f Fields) Get(name string) (string, bool) {
	for _, line := range f.Lines() {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return value, true
		}
	}
	return "", false
}

// MarshalJSON implements json.Marshaler: a list of lines.
func (f Fields) MarshalJSON() ([]byte, error) {
	lines := f.Lines()
	for i, line := range lines {
		lines[i] = toText(line)
	}
	return json.Marshal(lines)
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Fields) UnmarshalJSON(b []byte) error {
	var lines []string
	if err := json.Unmarshal(b, &lines); err != nil {
		return err
	}
	for i, line := range lines {
		lines[i] = fromText(line)
		if strings.Contains(lines[i], "\n") {
			return fmt.Errorf("a header field of two lines: %.100q", line)
		}
	}
	*f = NewFields(lines)
	return nil
}

// Bytes of a value that are not UTF-8, as of a file's name in an old encoding, stand in JSON as
// characters from here on, of a private area; so do the bytes of such a character itself.
const rawByte, lastRaw = 0xF700, 0xF7FF

func toText(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if (r == utf8.RuneError && n == 1) || (r >= rawByte && r <= lastRaw) {
			for _, c := range []byte(s[i : i+n]) {
				b.WriteRune(rawByte + rune(c))
			}
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

func fromText(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= rawByte && r <= lastRaw {
			b.WriteByte(byte(r - rawByte))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// check returns what is wrong with f, one of the fields of an entry called what.
func (f Fields) check(what string) error {
	if len(f) > FieldsLimit {
		return fmt.Errorf("%s: %d bytes, more than %d", what, len(f), FieldsLimit)
	}
	for _, line := range f.Lines() {
		name, value, ok := strings.Cut(line, ": ")
		switch {
		case !ok, name == "", strings.Trim(name, fieldName) != "", strings.ContainsFunc(value, isControl), value != strings.TrimSpace(value):
			return fmt.Errorf("%s: not a header field: %.100q", what, line)
		case Secret(name) && !isMarked(name, value):
			return fmt.Errorf("%s: the value of %s is a secret", what, name)
		}
	}
	return nil
}

// fieldName are the characters of a field's name (RFC 9110 §5.6.2, without capitals).
const fieldName = "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"

// Secret reports whether the header field called name, in lower case, says who somebody is: its value
// is not written to a lock, but a mark.
func Secret(name string) bool {
	switch name {
	case "cookie", "set-cookie":
		return true
	case "www-authenticate", "proxy-authenticate", "authentication-info":
		return false
	}
	return httpx.Secret(name)
}

// MarkPrefix begins a mark, which stands in a lock in the place of a secret; then come lower-case
// letters, digits, "." and "-".
const MarkPrefix = "xxxxx-"

// IsMark reports whether value stands in the place of a secret.
func IsMark(value string) bool {
	rest, ok := strings.CutPrefix(value, MarkPrefix)
	return ok && rest != "" && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

// isMarked reports whether value, of a field that is Secret, holds nothing but marks.
func isMarked(name, value string) bool {
	switch {
	case value == "":
		return true
	case name == "set-cookie":
		value, _, _ = strings.Cut(value, ";")
	case name != "cookie":
		return IsMark(value)
	}
	for pair := range strings.SplitSeq(value, ";") {
		if _, v, ok := strings.Cut(pair, "="); !ok || v != "" && !IsMark(v) {
			return false
		}
	}
	return true
}
