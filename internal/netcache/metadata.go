package netcache

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// EncodeMetadata returns fields as text, spelt as Python's json.dumps does it: sha512 first, the
// others sorted, ", " and ": " between, everything but ASCII escaped.
func EncodeMetadata(fields map[string]any) string {
	var b strings.Builder
	python(&b, fields)
	return b.String()
}

func python(b *strings.Builder, v any) {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.SortFunc(names, func(x, y string) int {
			if first := "sha512"; (x == first) != (y == first) {
				if x == first {
					return -1
				}
				return 1
			}
			return strings.Compare(x, y)
		})
		for i, name := range names {
			b.WriteString([...]string{"{", ", "}[min(i, 1)])
			pythonText(b, name)
			b.WriteString(": ")
			python(b, v[name])
		}
		b.WriteString([...]string{"{}", "}"}[min(len(names), 1)])
	case []any:
		b.WriteByte('[')
		for i, one := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			python(b, one)
		}
		b.WriteByte(']')
	case string:
		pythonText(b, v)
	case nil:
		b.WriteString("null")
	default:
		fmt.Fprint(b, v)
	}
}

func pythonText(b *strings.Builder, s string) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}
	b.WriteByte('"')
	for _, r := range s {
		const ascii, basic = 0x80, 0xffff
		switch {
		case short[r] != "":
			b.WriteString(short[r])
		case r >= ' ' && r < ascii:
			b.WriteRune(r)
		case r <= basic:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(b, `\u%04x\u%04x`, high, low)
		}
	}
	b.WriteByte('"')
}

// ParseMetadata reads the fields of a metadata file: one JSON object, at most EntryLimit bytes.
func ParseMetadata(b []byte) (map[string]any, error) {
	if len(b) > EntryLimit {
		return nil, fmt.Errorf("metadata of more than %d bytes", EntryLimit)
	}
	v, err := parseJSON(string(b))
	if err != nil {
		return nil, err
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the metadata is not a JSON object")
	}
	return fields, nil
}

// ParseValue returns s as a JSON value, or as text when it is not JSON.
func ParseValue(s string) any {
	v, err := parseJSON(s)
	if _, number := v.(json.Number); err != nil || number {
		return s // VERSION=1.10 means the text: as a number it would be 1.1 to some
	}
	return v
}
