package yamlfile

import (
	"slices"
	"strings"

	"overland/internal/appfile"
)

// Format is overland.yaml as one program knows it: the keys that all applications have, and those
// that its builders and runtimes bring. It is a value, made where builders and runtimes are
// composed; it is never changed.
type Format struct {
	Builders []Builder // at least one; the first one is the example for an artifact without a builder key
	Runtimes []Runtime // at least one; the first one is the default

	// Names that are reserved for what is still to come: they are
	// refused, and not as misspelt ones.
	LaterBuilders, LaterRuntimes []string
}

// Builder is a builder key: what it is called, and what stands under it.
type Builder struct {
	Key     string // "go"
	Doc     string // a sentence for the schema
	Example string // how an artifact called NAME says it, for a hint: "for a Go command: go: ./cmd/NAME"
	Schema  Schema
	Read    func(d *Decoder, n Node) any // returns the Settings of an Artifact; complains to d
	Write   func(settings any) any       // returns what Marshal writes: a text, or Fields
}

// NewBuilder returns a Builder whose key holds a mapping with keys. Its Settings are a *T.
func NewBuilder[T any](key, doc string, keys []Key[T]) Builder {
	return Builder{
		Key: key, Doc: doc, Schema: Object(keys),
		Read: func(d *Decoder, n Node) any {
			to := new(T)
			Decode(d, n, key, keys, to)
			return to
		},
		Write: func(settings any) any {
			from, ok := settings.(*T)
			if !ok {
				return nil
			}
			return Fields(keys, from)
		},
	}
}

// Runtime is a value of the key "runtime", and the keys that only a service of this runtime has.
type Runtime struct {
	Name string // "process"
	Keys []Key[appfile.Service]
}

// Parse returns the App that b holds. name is the file's name, for messages:
// "overland.yaml:12:5: unknown key …". Every error is errs.Invalid, has a hint, and names up to
// ten problems, a line for each, from the top down.
func (f Format) Parse(b []byte, name string) (*appfile.App, error) {
	d := &Decoder{file: name}
	app := &appfile.App{}
	if root := d.tree(b); root != nil {
		Decode(d, root, "the file", f.appKeys(), app)
		for _, check := range d.later {
			check()
		}
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return app, nil
}

// builderKeys returns the names of all builder keys, those to come last.
func (f Format) builderKeys() []string {
	return slices.Concat(f.presentBuilders(), f.LaterBuilders)
}

func (f Format) presentBuilders() []string {
	var names []string
	for _, b := range f.Builders {
		names = append(names, b.Key)
	}
	return names
}

func (f Format) runtimes() []string {
	var names []string
	for _, r := range f.Runtimes {
		names = append(names, r.Name)
	}
	return names
}

// example returns the hint for an artifact without a builder key.
func (f Format) example(artifact string) string {
	return strings.ReplaceAll(f.Builders[0].Example, "NAME", artifact)
}
