package yamlfile

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"overland/internal/appfile"
)

// Key is one key of a mapping that becomes a T: all that the parser, the writer, the schema
// and a person need to know of it.
type Key[T any] struct {
	Name     string
	Doc      string // a sentence for the schema and for hints; "" = the schema does not have the key
	Required bool
	Schema   Schema
	Set      func(d *Decoder, n Node, to *T) // reads the value n; complains to d
	Get      func(from *T) any               // what Marshal writes: see Fields; nil = it is never written
}

// Must returns k as a key that must be there.
func (k Key[T]) Must() Key[T] {
	k.Required = true
	return k
}

// Then returns k with more to do after Set.
func (k Key[T]) Then(more func(d *Decoder, n Node, to *T)) Key[T] {
	set := k.Set
	k.Set = func(d *Decoder, n Node, to *T) {
		set(d, n, to)
		more(d, n, to)
	}
	return k
}

// Text is a key whose text has the form of pattern, which form says in
// words. at returns its place in a T.
func Text[T any](name, doc string, pattern *regexp.Regexp, form string, at func(*T) *string) Key[T] {
	return Key[T]{
		Name: name, Doc: doc, Schema: Schema{"type": "string", "pattern": pattern},
		Set: func(d *Decoder, n Node, to *T) { *at(to), _ = d.Match(n, name, pattern, form) },
		Get: func(from *T) any { return *at(from) },
	}
}

// OneOf is a key with one of these values.
func OneOf[T any](name, doc string, values []string, at func(*T) *string) Key[T] {
	return Key[T]{
		Name: name, Doc: doc, Schema: Schema{"enum": values},
		Set: func(d *Decoder, n Node, to *T) { *at(to), _ = d.oneOf(n, name, values...) },
		Get: func(from *T) any { return *at(from) },
	}
}

// Number is a key with a whole number between low and high; 0 is not written.
func Number[T any](name, doc string, low, high int, at func(*T) *int) Key[T] {
	return Key[T]{
		Name: name, Doc: doc, Schema: Schema{"type": "integer", "minimum": low, "maximum": high},
		Set: func(d *Decoder, n Node, to *T) { *at(to), _ = d.number(n, name, low, high) },
		Get: func(from *T) any { return *at(from) },
	}
}

// Duration is a key with a duration like 10s, at most longest.
func Duration[T any](name, doc string, longest time.Duration, at func(*T) *appfile.Duration) Key[T] {
	return Key[T]{
		Name: name, Doc: doc + " At most " + short(appfile.Duration(longest)) + ".", Schema: Schema{"type": "string", "pattern": durationPattern},
		Set: func(d *Decoder, n Node, to *T) { *at(to), _ = d.duration(n, name, longest) },
		Get: func(from *T) any { return *at(from) },
	}
}

// Words is a key with a list of texts, as the arguments of a command are: a
// number stands for its own digits.
func Words[T any](name, doc string, at func(*T) *[]string) Key[T] {
	return Key[T]{
		Name: name, Doc: doc, Schema: list(word),
		Set: func(d *Decoder, n Node, to *T) { *at(to) = d.words(n, name) },
		Get: func(from *T) any { return *at(from) },
	}
}

// List is a key with a list of texts of the form of pattern; entry says what one is.
func List[T any](name, entry, doc string, pattern *regexp.Regexp, form string, at func(*T) *[]string) Key[T] {
	return Key[T]{
		Name: name, Doc: doc, Schema: list(Schema{"type": "string", "pattern": pattern}),
		Set: func(d *Decoder, n Node, to *T) {
			d.list(n, name, func(v Node) {
				if s, ok := d.Match(v, entry, pattern, form); ok {
					*at(to) = append(*at(to), s)
				}
			})
		},
		Get: func(from *T) any { return *at(from) },
	}
}

// Command is a key with a program and its arguments. example says how it is written, for a hint.
func Command[T any](name, doc, example string, at func(*T) *[]string) Key[T] {
	return Key[T]{
		Name: name, Doc: doc, Schema: Schema{"type": "array", "minItems": 1, "items": word},
		Set: func(d *Decoder, n Node, to *T) {
			before := len(d.problems)
			got := d.words(n, name)
			if len(d.problems) == before && (len(got) == 0 || got[0] == "") {
				d.Fail(n, "write it like "+example, "%s names no program", name)
			}
			*at(to) = got
		},
		Get: func(from *T) any { return *at(from) },
	}
}

// Texts is a key with a mapping from names of the form of pattern to texts.
func Texts[T any](name, doc string, pattern *regexp.Regexp, form string, at func(*T) *map[string]string) Key[T] {
	return Key[T]{
		Name: name, Doc: doc,
		Schema: Schema{"type": "object", "propertyNames": Schema{"pattern": pattern}, "additionalProperties": word},
		Set:    func(d *Decoder, n Node, to *T) { *at(to) = d.texts(n, name, pattern, form) },
		Get:    func(from *T) any { return *at(from) },
	}
}

// Nested is a key with a mapping of its own.
func Nested[T, N any](name, doc string, keys []Key[N], at func(*T) *N) Key[T] {
	return Key[T]{
		Name: name, Doc: doc, Schema: Object(keys),
		Set: func(d *Decoder, n Node, to *T) { Decode(d, n, name, keys, at(to)) },
		Get: func(from *T) any { return Fields(keys, at(from)) },
	}
}

// Table is a key with a mapping from names of the form of pattern to an N each: a mapping with keys, or a text
// that short reads.
func Table[T, N any](name, doc string, pattern *regexp.Regexp, form string, keys []Key[N], short Key[N], at func(*T) *map[string]N) Key[T] {
	return Key[T]{
		Name: name, Doc: doc,
		Schema: Schema{
			"type": "object", "propertyNames": Schema{"pattern": pattern},
			"additionalProperties": Schema{"oneOf": []any{short.Schema, Object(keys)}},
		},
		Set: func(d *Decoder, n Node, to *T) {
			m := map[string]N{}
			d.each(n, name, func(k keyToken, v Node) {
				var one N
				switch {
				case !pattern.MatchString(k.Value):
					d.fail(k, form, "%s: %.60q: %s", name, k.Value, form)
				case IsMapping(v):
					Decode(d, v, fmt.Sprintf("%s: %.60s", name, k.Value), keys, &one)
				default:
					short.Set(d, v, &one)
				}
				m[k.Value] = one
			})
			*at(to) = m
		},
		Get: func(from *T) any {
			var list Mapping
			for _, k := range slices.Sorted(maps.Keys(*at(from))) {
				one := (*at(from))[k]
				list = append(list, field{k, Fields(keys, &one)})
			}
			return list
		},
	}
}

// Decode reads the mapping n into to. what names it, for messages.
func Decode[T any](d *Decoder, n Node, what string, keys []Key[T], to *T) {
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
	}
	seen := map[string]bool{}
	if !d.each(n, what, func(k keyToken, v Node) {
		i := slices.Index(names, k.Value)
		if i < 0 {
			d.fail(k, "keys of "+what+": "+strings.Join(names, ", "), "unknown key %.60q%s", k.Value, meant(k.Value, names))
			return
		}
		seen[k.Value] = true
		keys[i].Set(d, v, to)
	}) {
		return
	}
	for _, k := range keys {
		if k.Required && !seen[k.Name] {
			d.Fail(n, k.Name+": "+k.Doc, "%s has no key %s", what, k.Name)
		}
	}
}
