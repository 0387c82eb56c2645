package yamlfile

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"overland/internal/appfile"
)

// Mapping is the keys of a mapping and what is written under each, in order.
type Mapping []field

type field struct {
	name  string
	value any // a text, plain, a number, a Duration, a list of texts or numbers, a map of texts, a Mapping or a list of them
}

// plain is text that is written as it is, without quotes.
type plain string

// Fields returns what Marshal writes of from: a field for each key that has a Get.
func Fields[T any](keys []Key[T], from *T) Mapping {
	var list Mapping
	for _, k := range keys {
		if k.Get != nil {
			list = append(list, field{k.Name, k.Get(from)})
		}
	}
	return list
}

// Marshal returns app as a commented overland.yaml that a person can go on
// from. Parse reads it back as app.
func (f Format) Marshal(app *appfile.App) []byte {
	w := &writer{}
	w.line(0, "# What this repository builds, and how it runs. Every key: docs/reference/overland-yaml.md of Overland.")
	w.line(0, "overland: %d", appfile.Version)
	w.line(0, "name: %s", quote(app.Name))
	if app.Version != "" {
		w.line(0, "version: %s", app.Version)
	}
	w.line(0, "")
	w.line(0, "# What is built, by name, and for which platforms.")
	w.line(0, "artifacts:")
	artifact := f.artifactKeys()
	for _, name := range slices.Sorted(maps.Keys(app.Artifacts)) {
		one := app.Artifacts[name]
		w.line(1, "%s:", quote(name))
		w.fields(2, Fields(artifact, &one))
	}
	if len(app.Services) > 0 {
		w.line(0, "")
		w.line(0, "# What runs on a node, by name. Add args, env, ports and volumes as the program needs them.")
		w.line(0, "services:")
		keys := f.serviceKeys()
		for _, name := range slices.Sorted(maps.Keys(app.Services)) {
			w.line(1, "%s:", quote(name))
			w.service(Fields(keys, &service{Service: app.Services[name]}))
		}
	}
	if len(app.Commands) > 0 {
		w.line(0, "")
		w.line(0, "# What people call on a node: DIR/bin/NAME leads to the artifact of the version that runs.")
		w.fields(0, Mapping{{"commands", app.Commands}})
	}
	if len(app.Pipelines) > 0 {
		w.line(0, "")
		w.line(0, "# What is run of a commit: overland pipeline run NAME.")
		w.fields(0, Mapping{{"pipelines", pipelineFields(app.Pipelines)}})
	}
	if len(app.Services) == 0 {
		w.line(0, "")
		w.line(0, "# No service: the programs are installed for people to run. One that should stay up is written like this:")
		w.line(0, "# services:")
		w.line(0, "#   NAME: {artifact: NAME, args: [], selftest: [{tcp: \"127.0.0.1:8080\", within: 60s}]}")
	}
	return []byte(w.b.String())
}

type writer struct{ b strings.Builder }

func (w *writer) line(depth int, format string, args ...any) {
	if format != "" {
		w.b.WriteString(strings.Repeat("  ", depth))
		fmt.Fprintf(&w.b, format, args...)
	}
	w.b.WriteByte('\n')
}

// service writes the fields of a service, with an example where it has no self-test.
func (w *writer) service(list Mapping) {
	for _, f := range list {
		if checks, ok := f.value.([]Mapping); ok && f.name == "selftest" && len(checks) == 0 {
			w.line(2, "# A release is good when its service answers. Until you say how, it only has to stay up.")
			w.line(2, "# selftest:")
			w.line(2, "#   - {http: \"http://127.0.0.1:8080/health\", status: 200, within: 60s}")
			continue
		}
		w.fields(2, Mapping{f})
	}
}

// fields writes those of list that are not empty, one a line; mappings and lists of them as blocks.
func (w *writer) fields(depth int, list Mapping) {
	for _, f := range list {
		name := quote(f.name)
		switch v := f.value.(type) {
		case Mapping:
			if len(v.texts()) > 0 {
				w.line(depth, "%s:", name)
				w.fields(depth+1, v)
			}
		case []Mapping:
			if len(v) > 0 {
				w.line(depth, "%s:", name)
			}
			for _, m := range v {
				w.line(depth+1, "- {%s}", strings.Join(m.texts(), ", "))
			}
		case map[string]string:
			if len(v) > 0 {
				w.line(depth, "%s:", name)
			}
			for _, k := range slices.Sorted(maps.Keys(v)) {
				w.line(depth+1, "%s: %s", quote(k), quote(v[k]))
			}
		default:
			if s := inline(v); s != "" {
				w.line(depth, "%s: %s", name, s)
			}
		}
	}
}

// texts returns the fields that are not empty, as "key: value".
func (m Mapping) texts() []string {
	var list []string
	for _, f := range m {
		if s := inline(f.value); s != "" {
			list = append(list, quote(f.name)+": "+s)
		}
	}
	return list
}

// inline returns v as it stands in a line, "" when it is empty.
func inline(v any) string {
	switch v := v.(type) {
	case plain:
		return string(v)
	case Mapping:
		if list := v.texts(); len(list) > 0 {
			return "{" + strings.Join(list, ", ") + "}"
		}
	case string:
		if v != "" {
			return quote(v)
		}
	case int:
		if v != 0 {
			return strconv.Itoa(v)
		}
	case appfile.Duration:
		if v != 0 {
			return short(v)
		}
	case []int:
		var list []string
		for _, n := range v {
			list = append(list, strconv.Itoa(n))
		}
		return flow(list)
	case []string:
		var list []string
		for _, s := range v {
			list = append(list, quote(s))
		}
		return flow(list)
	case map[string]string:
		var list []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			list = append(list, quote(k)+": "+quote(v[k]))
		}
		if len(list) > 0 {
			return "{" + strings.Join(list, ", ") + "}"
		}
	}
	return ""
}

func flow(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// bare matches texts that need no quotes anywhere, unless YAML takes them for something else.
var (
	bare  = regexp.MustCompile(`^[A-Za-z./][A-Za-z0-9._/-]*$`)
	taken = regexp.MustCompile(`^(?i:null|true|false|yes|no|on|off|y|n|\.inf|\.nan)$`)
)

// quote returns s as YAML, quoted when it must be. A JSON string is a YAML string.
func quote(s string) string {
	if bare.MatchString(s) && !taken.MatchString(s) {
		return s
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

func short(d appfile.Duration) string { return appfile.Short(time.Duration(d)) }
