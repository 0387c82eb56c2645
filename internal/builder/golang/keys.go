package golang

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"overland/internal/appfile/yamlfile"
	"overland/internal/builder"
)

// Key is this builder's key in overland.yaml.
const Key = "go"

// Program is what stands under the key "go": a package path, or a mapping with these keys.
type Program struct {
	Package   string            // "./cmd/node"
	Dir       string            // module folder inside the repository; "" = its root
	Toolchain string            // "go1.26.8"; "" = what go.mod asks for
	Tags      []string          //
	Vars      map[string]string // -X name=value; values may hold builder.Variables
}

// NamesTag reports whether p cannot be built of a commit without a tag.
func (p *Program) NamesTag() bool {
	return builder.NamesTag(slices.Collect(maps.Values(p.Vars))...)
}

const packageForm = "a folder of the module, written like ./cmd/node"

var (
	packagePattern   = regexp.MustCompile(`^\.(/[^/]+)*$`)
	toolchainPattern = regexp.MustCompile(`^go1\.[0-9]{1,4}(\.[0-9]{1,4}|rc[0-9]{1,2}|beta[0-9]{1,2})$`)
	tagPattern       = regexp.MustCompile(`^[A-Za-z0-9_.]+$`)
	varPattern       = regexp.MustCompile(`^[A-Za-z0-9_./~-]+\.[A-Za-z_][A-Za-z0-9_]*$`)
)

// Keys returns the key "go" with all that stands under it. Its Settings are a *Program.
func Keys() yamlfile.Builder {
	b := yamlfile.NewBuilder(Key, "Builder key: a Go command, as the path of its package (./cmd/node) or as a mapping.", programKeys())
	b.Example = "for a Go command: go: ./cmd/NAME"
	short := yamlfile.Schema{"type": "string", "pattern": packagePattern}
	b.Schema = yamlfile.Schema{"oneOf": []any{short, b.Schema}}
	long := b.Read
	b.Read = func(d *yamlfile.Decoder, n yamlfile.Node) any {
		if yamlfile.IsMapping(n) {
			return long(d, n)
		}
		p := &Program{}
		setPackage(d, n, p)
		return p
	}
	mapping := b.Write
	b.Write = func(settings any) any {
		if p, ok := settings.(*Program); ok && p.Dir == "" && p.Toolchain == "" && len(p.Tags) == 0 && len(p.Vars) == 0 {
			return p.Package
		}
		return mapping(settings)
	}
	return b
}

func programKeys() []yamlfile.Key[Program] {
	return []yamlfile.Key[Program]{
		{
			Name: "package", Doc: "The path of the package main inside its module: ./cmd/node.", Required: true,
			Schema: yamlfile.Schema{"type": "string", "pattern": packagePattern},
			Set:    setPackage, Get: func(p *Program) any { return p.Package },
		},
		{
			Name: "dir", Doc: "The module's folder inside the repository; its top when left out.",
			Schema: yamlfile.Schema{"type": "string"},
			Set:    setDir, Get: func(p *Program) any { return p.Dir },
		},
		yamlfile.Text("toolchain", "The version of Go that builds it; what go.mod asks for when left out.",
			toolchainPattern, "a released Go, written like go1.26.8", func(p *Program) *string { return &p.Toolchain }),
		yamlfile.List("tags", "tag", "Build tags.", tagPattern, "letters, digits, _ and .", func(p *Program) *[]string { return &p.Tags }),
		{
			Name: "cgo", Doc: "Refused: cgo is off, and no builder for it is there yet.", Schema: yamlfile.Schema{"not": yamlfile.Schema{}},
			Set: func(d *yamlfile.Decoder, n yamlfile.Node, _ *Program) {
				d.Fail(n, "leave it out; a command in overland.yaml can run a C compiler", "cgo: it is always off, for there is no builder with cgo yet")
			},
		},
		yamlfile.Texts("vars", "Text variables set in the program, like main.version; {{.Version}}, {{.Commit}}, {{.Time}} (of the commit) and {{.Tag}} (the newest annotated one) are replaced.",
			varPattern, "a package's path and a variable, like main.version", func(p *Program) *map[string]string { return &p.Vars }).
			Then(func(d *yamlfile.Decoder, n yamlfile.Node, _ *Program) {
				d.Variables(n, builder.Variables())
			}),
	}
}

func setPackage(d *yamlfile.Decoder, n yamlfile.Node, p *Program) {
	s, ok := d.Match(n, "go", packagePattern, packageForm)
	if ok && (strings.Contains(s, "...") || strings.ContainsAny(s, "\\@\n") || slices.Contains(strings.Split(s, "/"), "..")) {
		d.Fail(n, packageForm, "go %.60q: %s", s, packageForm)
		return
	}
	p.Package = s
}

func setDir(d *yamlfile.Decoder, n yamlfile.Node, p *Program) {
	s, ok := d.Text(n, "dir")
	clean := path.Clean(s)
	if ok && (s == "" || path.IsAbs(s) || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(s, "\\\n")) {
		d.Fail(n, "write it like tools/server", "dir %.60q is not a folder inside the repository", s)
		return
	}
	if p.Dir = clean; clean == "." {
		p.Dir = ""
	}
}
