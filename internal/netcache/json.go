package netcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// parseJSON parses one JSON value that every client understands alike: no name twice in an object,
// no deep nesting, no endless number, no half of a surrogate pair.
func parseJSON(text string) (any, error) {
	if !utf8.ValidString(text) || !paired(text) {
		return nil, errors.New("not Unicode text")
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := value(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

func value(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if depth > depthLimit {
		return nil, fmt.Errorf("nested deeper than %d", depthLimit)
	}
	switch t := token.(type) {
	case json.Number:
		if len(t) > numberLimit {
			return nil, fmt.Errorf("a number of %d digits", len(t))
		}
	case json.Delim:
		var v any
		if t == '{' {
			v, err = object(d, depth)
		} else {
			v, err = array(d, depth)
		}
		if err == nil {
			_, err = d.Token() // the closing one
		}
		return v, err
	}
	return token, nil
}

func object(d *json.Decoder, depth int) (any, error) {
	m := map[string]any{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		name, ok := token.(string)
		if !ok {
			return nil, errors.New("not JSON: a name is missing")
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("%q is there twice", name)
		}
		if m[name], err = value(d, depth+1); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func array(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := value(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// canonical appends v in its one spelling: names sorted by their bytes, no white space, in strings
// only '"' and '\' escaped (with '\'), numbers as they were written.
func canonical(b []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		b = append(b, '{')
		for i, name := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(quoted(b, name), ':')
			b = canonical(b, v[name])
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, one := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = canonical(b, one)
		}
		return append(b, ']')
	case string:
		return quoted(b, v)
	case nil:
		return append(b, "null"...)
	}
	return fmt.Append(b, v)
}

func quoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
