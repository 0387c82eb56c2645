package netcache

import (
	"bytes"
	"encoding/json"
	"math/big"
	"slices"
	"strings"

	"overland/internal/errs"
)

// Filter is a condition on one metadata field.
type Filter struct {
	Field string
	Op    string // ==, <=, >=, <, >; << keeps the entries with the lowest value, >> those with the highest
	Value any    // as parseJSON returns it; for << and >> the values must be beyond it
	Any   bool   // for << and >>: there is no Value
}

// ParseFilter reads "url==\"http://…\"", "n>=3" or "version<<Infinity", as
// networkcache-download does. A value that is not JSON is text; an empty or infinite one sets
// no bound for << and >>. The error is errs.Invalid.
func ParseFilter(s string) (Filter, error) {
	at := strings.IndexAny(s, "=<>")
	if at > 0 && at+1 < len(s) {
		for _, op := range []string{"==", "<=", ">=", "<<", ">>", "<", ">"} {
			rest, ok := strings.CutPrefix(s[at:], op)
			if !ok {
				continue
			}
			f := Filter{Field: s[:at], Op: op}
			if op == "<<" || op == ">>" {
				f.Any = rest == "" || rest == "Infinity" || rest == "-Infinity"
			}
			var err error
			if f.Value, err = parseJSON(rest); err != nil {
				f.Value = rest
			}
			return f, nil
		}
	}
	return Filter{}, errs.Hint(errs.Errorf(errs.Invalid, "%q is not a condition", s), "NAME==VALUE, or one of <= >= < > << >>")
}

// Apply returns the entries of list that meet all of filters, in their order. An entry that lacks a
// field of a filter does not meet it.
func Apply(list []Entry, filters []Filter) []Entry {
	for _, f := range filters {
		list = f.apply(list)
	}
	return list
}

func (f Filter) apply(list []Entry) (kept []Entry) {
	if f.Op != "<<" && f.Op != ">>" {
		for _, e := range list {
			if v, ok := e.Fields[f.Field]; ok && f.meets(v) {
				kept = append(kept, e)
			}
		}
		return kept
	}
	for _, e := range list {
		v, ok := e.Fields[f.Field]
		if !ok {
			continue
		}
		order := 0
		if !f.Any {
			beyond := Filter{Op: f.Op[:1], Value: f.Value}
			if !beyond.meets(v) {
				continue
			}
		}
		if len(kept) > 0 {
			if order, ok = compare(v, kept[0].Fields[f.Field]); !ok {
				continue // another kind of value than the first one's
			}
		}
		if f.Op == "<<" {
			order = -order
		}
		switch {
		case order > 0:
			kept = []Entry{e}
		case order == 0:
			kept = append(kept, e)
		}
	}
	return kept
}

func (f Filter) meets(v any) bool {
	if f.Op == "==" {
		if order, ok := compare(v, f.Value); ok {
			return order == 0
		}
		return bytes.Equal(canonical(nil, v), canonical(nil, f.Value))
	}
	order, ok := compare(v, f.Value)
	return ok && (order < 0 && f.Op[0] == '<' || order > 0 && f.Op[0] == '>' || order == 0 && len(f.Op) > 1)
}

// compare orders two numbers, two texts or two lists of such.
func compare(a, b any) (order int, ok bool) {
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		return strings.Compare(a, b), ok
	case json.Number:
		bn, ok := b.(json.Number)
		if !ok {
			return 0, false
		}
		x, _, xerr := big.ParseFloat(string(a), 10, 256, big.ToNearestEven)
		y, _, yerr := big.ParseFloat(string(bn), 10, 256, big.ToNearestEven)
		if xerr != nil || yerr != nil {
			return 0, false
		}
		return x.Cmp(y), true
	case []any:
		b, ok := b.([]any)
		if !ok {
			return 0, false
		}
		known := true
		order := slices.CompareFunc(a, b, func(x, y any) int {
			o, ok := compare(x, y)
			known = known && ok
			return o
		})
		return order, known
	}
	return 0, false
}
