package yamlfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"overland/internal/appfile"
	"overland/internal/platform"
)

func (f Format) appKeys() []Key[appfile.App] {
	artifact, service := f.artifactKeys(), f.serviceKeys()
	return []Key[appfile.App]{
		{
			Name: "overland", Doc: "The version of this format: 1.", Required: true,
			Schema: Schema{"const": appfile.Version},
			Set: func(d *Decoder, n Node, a *appfile.App) {
				if v, ok := d.number(n, "overland", 0, 1<<30); ok && v != appfile.Version {
					d.Fail(n, "write overland: 1, or use a newer Overland", "format %d is not known here; only %d is", v, appfile.Version)
				}
				a.Overland = appfile.Version
			},
		},
		f.nameKey(),
		OneOf("version", "What releases are called: commit (the default), r412.abcdef012345; tag, the newest annotated tag, v1.2.3, or v1.2.3-4-gabcdef012345 after it.",
			[]string{string(appfile.ByCommit), string(appfile.ByTag)}, func(a *appfile.App) *string { return (*string)(&a.Version) }).
			Then(func(_ *Decoder, _ Node, a *appfile.App) {
				if a.Version == appfile.ByCommit {
					a.Version = ""
				}
			}),
		{
			Name: "artifacts", Doc: "What is built, by name.", Required: true, Schema: named(Object(artifact), 1),
			Set: func(d *Decoder, n Node, a *appfile.App) { f.setArtifacts(d, n, artifact, a) },
		},
		{
			Name: "services", Doc: "What runs on a node, by name.", Schema: named(Object(service), 0),
			Set: func(d *Decoder, n Node, a *appfile.App) { f.setServices(d, n, service, a) },
		},
		{
			Name: "commands", Doc: "What people call on a node, by name: the artifact that it is. DIR/bin/NAME leads to the version that runs.",
			Schema: Schema{
				"type": "object", "propertyNames": Schema{"pattern": appfile.CommandPattern, "not": Schema{"pattern": "^overland"}},
				"additionalProperties": Schema{"type": "string", "pattern": namePattern},
			},
			Set: setCommands,
		},
		pipelinesKey(),
	}
}

// nameKey is the key name. The first release binds the name to its repository; some no repository
// may have.
func (f Format) nameKey() Key[appfile.App] {
	k := Text("name", "The application's name: "+nameForm+"; not one of Overland's own.", namePattern, nameForm,
		func(a *appfile.App) *string { return &a.Name }).Must()
	k.Schema["not"] = Schema{"pattern": appfile.ReservedPattern}
	return k.Then(func(d *Decoder, n Node, a *appfile.App) {
		if why := appfile.Reserved(a.Name); why != "" {
			d.Fail(n, "write another name", "name %q is reserved: %s", a.Name, why)
		}
	})
}

func (f Format) setArtifacts(d *Decoder, n Node, keys []Key[appfile.Artifact], a *appfile.App) {
	a.Artifacts = map[string]appfile.Artifact{}
	d.each(n, "artifacts", func(k keyToken, v Node) {
		var one appfile.Artifact
		if d.name(k, k.Value, "artifact") {
			Decode(d, v, "artifact "+k.Value, keys, &one)
			f.oneBuilder(d, k, v)
		}
		a.Artifacts[k.Value] = one
	})
	if len(a.Artifacts) == 0 && !d.failed() {
		d.Fail(n, "overland init writes them", "artifacts is empty: there is nothing to build")
	}
}

func setCommands(d *Decoder, n Node, a *appfile.App) {
	a.Commands = map[string]string{}
	d.each(n, "commands", func(k keyToken, v Node) {
		artifact, ok := d.Text(v, "an artifact")
		if err := appfile.CheckCommand(k.Value); err != nil {
			d.fail(k, "write another name", "%v", err)
		} else if ok {
			a.Commands[k.Value] = artifact
			d.needsArtifact(v, a, artifact)
		}
	})
	if len(a.Commands) == 0 {
		a.Commands = nil
	}
}

func (f Format) oneBuilder(d *Decoder, k keyToken, n Node) {
	m, ok := n.(ast.MapNode)
	if !ok {
		return
	}
	var has []string
	for it := m.MapRange(); it.Next(); {
		if name := it.Key().GetToken().Value; slices.Contains(f.builderKeys(), name) && !slices.Contains(has, name) {
			has = append(has, name)
		}
	}
	switch len(has) {
	case 0:
		d.fail(k, f.example(fmt.Sprintf("%.60s", k.Value)), "artifact %s has no builder key", k.Value)
	case 1:
	default:
		d.fail(k, "keep one of them, or make two artifacts", "artifact %s has %d builder keys, %s: one says how it is made",
			k.Value, len(has), strings.Join(has, " and "))
	}
}

func (f Format) artifactKeys() []Key[appfile.Artifact] {
	var keys []Key[appfile.Artifact]
	for _, b := range f.Builders {
		keys = append(keys, Key[appfile.Artifact]{
			Name: b.Key, Doc: b.Doc, Schema: b.Schema,
			Set: func(d *Decoder, n Node, a *appfile.Artifact) { a.Builder, a.Settings = b.Key, b.Read(d, n) },
			Get: func(a *appfile.Artifact) any {
				if a.Builder != b.Key {
					return nil
				}
				return b.Write(a.Settings)
			},
		})
	}
	keys = append(keys, Key[appfile.Artifact]{
		Name: "platforms", Doc: "What it is built for; all five when left out.",
		Schema: Schema{"type": "array", "minItems": 1, "uniqueItems": true, "items": Schema{"enum": platform.All()}},
		Set:    setPlatforms,
		Get: func(a *appfile.Artifact) any {
			var list []string
			for _, p := range a.Platforms {
				list = append(list, string(p))
			}
			return list
		},
	})
	for _, name := range f.LaterBuilders {
		keys = append(keys, Key[appfile.Artifact]{Name: name, Set: func(d *Decoder, n Node, _ *appfile.Artifact) {
			d.Fail(n, "the builders that are there: "+strings.Join(f.presentBuilders(), ", "), "the builder %s is not there yet", name)
		}})
	}
	return keys
}

func setPlatforms(d *Decoder, n Node, a *appfile.Artifact) {
	ok := d.list(n, "platforms", func(v Node) {
		s, ok := d.Text(v, "a platform")
		if !ok {
			return
		}
		p, err := platform.Parse(s)
		switch {
		case err != nil:
			d.Fail(v, "leave platforms out for all of them", "%v", err)
		case slices.Contains(a.Platforms, p):
			d.Fail(v, "keep one of them", "platform %q is here twice", s)
		default:
			a.Platforms = append(a.Platforms, p)
		}
	})
	if ok && len(a.Platforms) == 0 && !d.failed() {
		d.Fail(n, "leave platforms out for all of them", "platforms is empty")
	}
}
