package yamlfile

import (
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"overland/internal/appfile"
	"overland/internal/platform"
)

// builders are the builder keys of the design; those after the first two are still to come.
var builders = []string{"go", "command", "rootfs", "dockerfile", "package", "unikernel"}

const present = 2

const dottedVars = "{{.Release.Version}}, {{.Release.App}} and {{.Volumes.NAME}} are replaced"

func appKeys() []key[appfile.App] {
	return []key[appfile.App]{
		{
			"overland", "The version of this format: 1.", true,
			schema{"const": appfile.Version},
			func(d *decoder, n ast.Node, a *appfile.App) {
				if v, ok := d.number(n, "overland", 0, 1<<30); ok && v != appfile.Version {
					d.fail(start(n), "write overland: 1, or use a newer Overland", "format %d is not known here; only %d is", v, appfile.Version)
				}
				a.Overland = appfile.Version
			},
		},
		{
			"name", "The application's name: " + nameForm + ".", true,
			schema{"type": "string", "pattern": namePattern},
			func(d *decoder, n ast.Node, a *appfile.App) { a.Name, _ = d.match(n, "name", namePattern, nameForm) },
		},
		{"artifacts", "What is built, by name.", true, named(object(artifactKeys()), 1), setArtifacts},
		{"services", "What runs on a node, by name.", false, named(object(serviceKeys()), 0), setServices},
	}
}

func setArtifacts(d *decoder, n ast.Node, a *appfile.App) {
	a.Artifacts = map[string]appfile.Artifact{}
	d.each(n, "artifacts", func(k *token.Token, v ast.Node) {
		var one appfile.Artifact
		if d.name(k, k.Value, "artifact") {
			decode(d, v, "artifact "+k.Value, artifactKeys(), &one)
			oneBuilder(d, k, v)
		}
		a.Artifacts[k.Value] = one
	})
	if len(a.Artifacts) == 0 && len(d.problems) == 0 {
		d.fail(start(n), "overland init writes them", "artifacts is empty: there is nothing to build")
	}
}

func oneBuilder(d *decoder, k *token.Token, n ast.Node) {
	m, ok := n.(ast.MapNode)
	if !ok {
		return
	}
	var has []string
	for it := m.MapRange(); it.Next(); {
		if name := it.Key().GetToken().Value; slices.Contains(builders, name) && !slices.Contains(has, name) {
			has = append(has, name)
		}
	}
	switch len(has) {
	case 0:
		d.fail(k, "for a Go command: go: ./cmd/"+clip(k.Value), "artifact %s has no builder key", k.Value)
	case 1:
	default:
		d.fail(k, "keep one of them, or make two artifacts", "artifact %s has %d builder keys, %s: one says how it is made",
			k.Value, len(has), strings.Join(has, " and "))
	}
}

func artifactKeys() []key[appfile.Artifact] {
	keys := []key[appfile.Artifact]{
		{
			"go", "Builder key: a Go command, as the path of its package (./cmd/node) or as a mapping.", false,
			schema{"oneOf": []any{schema{"type": "string", "pattern": packagePattern}, object(goKeys())}},
			func(d *decoder, n ast.Node, a *appfile.Artifact) {
				a.Go = &appfile.Go{}
				if _, mapping := n.(ast.MapNode); mapping {
					decode(d, n, "go", goKeys(), a.Go)
					return
				}
				setPackage(d, n, a.Go)
			},
		},
		{
			"command", "Builder key: a command that makes one file from the commit and what overland.lock holds.", false,
			object(commandKeys()),
			func(d *decoder, n ast.Node, a *appfile.Artifact) {
				a.Command = &appfile.Command{}
				decode(d, n, "command", commandKeys(), a.Command)
			},
		},
		{
			"platforms", "What it is built for; all five when left out.", false,
			schema{"type": "array", "minItems": 1, "uniqueItems": true, "items": schema{"enum": platform.All()}},
			setPlatforms,
		},
	}
	for _, name := range builders[present:] {
		keys = append(keys, key[appfile.Artifact]{name: name, set: func(d *decoder, n ast.Node, _ *appfile.Artifact) {
			d.fail(start(n), "the builders that are there: "+strings.Join(builders[:present], ", "), "the builder %s is not there yet", name)
		}})
	}
	return keys
}

func setPlatforms(d *decoder, n ast.Node, a *appfile.Artifact) {
	ok := d.list(n, "platforms", func(_ int, v ast.Node) {
		s, ok := d.text(v, "a platform")
		if !ok {
			return
		}
		p, err := platform.Parse(s)
		switch {
		case err != nil:
			d.fail(start(v), "leave platforms out for all of them", "%v", err)
		case slices.Contains(a.Platforms, p):
			d.fail(start(v), "keep one of them", "platform %q is here twice", s)
		default:
			a.Platforms = append(a.Platforms, p)
		}
	})
	if ok && len(a.Platforms) == 0 && len(d.problems) == 0 {
		d.fail(start(n), "leave platforms out for all of them", "platforms is empty")
	}
}

func setPackage(d *decoder, n ast.Node, g *appfile.Go) {
	const form = "a folder of the module, written like ./cmd/node"
	s, ok := d.match(n, "go", packagePattern, form)
	if ok && (strings.Contains(s, "...") || strings.ContainsAny(s, "\\@\n") || slices.Contains(strings.Split(s, "/"), "..")) {
		d.fail(start(n), form, "go %q: %s", clip(s), form)
		return
	}
	g.Package = s
}

func goKeys() []key[appfile.Go] {
	return []key[appfile.Go]{
		{"package", "The path of the package main inside its module: ./cmd/node.", true, schema{"type": "string", "pattern": packagePattern}, setPackage},
		{
			"dir", "The module's folder inside the repository; its top when left out.", false,
			schema{"type": "string"},
			func(d *decoder, n ast.Node, g *appfile.Go) {
				s, ok := d.text(n, "dir")
				clean := path.Clean(s)
				if ok && (s == "" || path.IsAbs(s) || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(s, "\\\n")) {
					d.fail(start(n), "write it like tools/server", "dir %q is not a folder inside the repository", clip(s))
					return
				}
				if g.Dir = clean; clean == "." {
					g.Dir = ""
				}
			},
		},
		{
			"toolchain", "The version of Go that builds it; what go.mod asks for when left out.", false,
			schema{"type": "string", "pattern": toolchainPattern},
			func(d *decoder, n ast.Node, g *appfile.Go) {
				g.Toolchain, _ = d.match(n, "toolchain", toolchainPattern, "a released Go, written like go1.26.8")
			},
		},
		{
			"tags", "Build tags.", false,
			schema{"type": "array", "items": schema{"type": "string", "pattern": tagPattern}},
			func(d *decoder, n ast.Node, g *appfile.Go) {
				d.list(n, "tags", func(_ int, v ast.Node) {
					if s, ok := d.match(v, "tag", tagPattern, "letters, digits, _ and ."); ok {
						g.Tags = append(g.Tags, s)
					}
				})
			},
		},
		{
			"vars", "Text variables set in the program, like main.version; {{.Version}} and {{.Commit}} are replaced.", false,
			texts(varPattern), func(d *decoder, n ast.Node, g *appfile.Go) {
				g.Vars = d.texts(n, "vars", varPattern, "a package's path and a variable, like main.version")
				d.eachText(n, func(v ast.Node, s string) { d.variables(v, s, []string{"Version", "Commit"}) })
			},
		},
	}
}

func commandKeys() []key[appfile.Command] {
	return []key[appfile.Command]{
		{
			"run", "A program and its arguments, run at the top of a copy of the commit: [sh, build.sh].", true,
			schema{"type": "array", "minItems": 1, "items": word},
			func(d *decoder, n ast.Node, c *appfile.Command) {
				c.Run = d.words(n, "run")
				if len(c.Run) == 0 && len(d.problems) == 0 || len(c.Run) > 0 && c.Run[0] == "" {
					d.fail(start(n), "write it like [sh, build.sh]", "run names no program")
				}
			},
		},
		{
			"output", "The file that it makes, a path inside that copy: out/app.", true,
			schema{"type": "string", "pattern": outputPattern},
			func(d *decoder, n ast.Node, c *appfile.Command) {
				s, ok := d.text(n, "output")
				clean := path.Clean(s)
				if ok && (!outputPattern.MatchString(s) || !filepath.IsLocal(clean) || clean == "." || strings.ContainsAny(s, "\\\n")) {
					d.fail(start(n), "write it like out/app", "output %q is not a file inside the repository", clip(s))
					return
				}
				c.Output = clean
			},
		},
	}
}

// texts returns a mapping of names, of the form of pattern, to texts.
func (d *decoder) texts(n ast.Node, what string, pattern *regexp.Regexp, form string) map[string]string {
	m := map[string]string{}
	d.each(n, what, func(k *token.Token, v ast.Node) {
		s, ok := d.word(v, what+": "+clip(k.Value))
		if !pattern.MatchString(k.Value) {
			d.fail(k, form, "%s: %q: %s", what, clip(k.Value), form)
		} else if ok {
			m[k.Value] = s
		}
	})
	if len(m) == 0 {
		return nil
	}
	return m
}

// eachText gives the texts of a mapping or a list to visit.
func (d *decoder) eachText(n ast.Node, visit func(v ast.Node, s string)) {
	var values []ast.Node
	switch n := n.(type) {
	case *ast.SequenceNode:
		values = n.Values
	case ast.MapNode:
		for it := n.MapRange(); it.Next(); {
			values = append(values, it.Value())
		}
	default:
		values = []ast.Node{n}
	}
	for _, v := range values {
		switch s := v.(type) {
		case *ast.StringNode:
			visit(v, s.Value)
		case *ast.LiteralNode:
			visit(v, s.Value.Value)
		}
	}
}
