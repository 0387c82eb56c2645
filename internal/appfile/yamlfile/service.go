package yamlfile

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"overland/internal/appfile"
)

const dottedVars = "{{.Release.Version}}, {{.Release.App}}, {{.Volumes.NAME}} and {{.Files.NAME}} are replaced"

// service is a Service being read.
type service struct {
	appfile.Service
	app      *appfile.App
	expanded []Node            // whose texts may hold variables: checked when the volumes are known
	foreign  map[string]string // key → the runtime that it belongs to, of those that are there
	places   map[string]Node   // of the values of those keys, of capabilities, and of what tasks and others alone have
}

func (s *service) expands(n Node) { s.expanded = append(s.expanded, n) }

func (f Format) setServices(d *Decoder, n Node, keys []Key[service], a *appfile.App) {
	a.Services = map[string]appfile.Service{}
	d.each(n, "services", func(k keyToken, v Node) {
		if !d.name(k, k.Value, "service") {
			return
		}
		s := &service{Service: appfile.Service{Runtime: f.Runtimes[0].Name}, app: a, foreign: map[string]string{}, places: map[string]Node{}}
		Decode(d, v, "service "+k.Value, keys, s)
		for _, name := range slices.Sorted(maps.Keys(s.foreign)) {
			if of := s.foreign[name]; of != s.Runtime {
				d.Fail(s.places[name], "remove it, or write runtime: "+of, "%s belongs to the runtime %s, not to %s", name, of, s.Runtime)
			}
		}
		if c := s.Escape(); c != "" {
			d.Fail(s.places["capabilities"], appfile.EscapeHint, "capability %s: nothing keeps a service with it apart", c)
		}
		d.kind(s)
		known := []string{"Release.Version", "Release.App"}
		for _, name := range slices.Sorted(maps.Keys(s.Data)) {
			known = append(known, "Volumes."+name)
		}
		for _, name := range slices.Sorted(maps.Keys(s.Files)) {
			known = append(known, "Files."+name)
		}
		for _, e := range s.expanded {
			d.Variables(e, known)
		}
		a.Services[k.Value] = s.Service
	})
	if len(a.Services) == 0 {
		a.Services = nil
	}
}

// serviceKeys returns the keys of a service: those that all have, and those of each runtime.
func (f Format) serviceKeys() []Key[service] {
	keys := []Key[service]{
		{
			Name: "artifact", Doc: "The artifact that it runs.", Required: true, Schema: Schema{"type": "string", "pattern": namePattern},
			Set: setArtifact, Get: func(s *service) any { return s.Artifact },
		},
		f.runtimeKey(),
		OneOf("kind", "service (the default), which stays up; task, which is run once for each release, before the others switch.",
			[]string{"service", string(appfile.Task)}, func(s *service) *string { return (*string)(&s.Kind) }),
		Duration("within", "Of a task: how long it may take; 10m when left out.", appfile.MaxWithin, func(s *service) *appfile.Duration { return &s.Within }),
		OneOf("while", "Of a task: what the application's services do meanwhile; stopped (the default) or running.",
			[]string{string(appfile.Stopped), string(appfile.Running)}, func(s *service) *string { return (*string)(&s.While) }),
		Words("args", "Its arguments; "+dottedVars+".", func(s *service) *[]string { return &s.Args }).Then(expands),
		Texts("env", "Its environment, by name; in the values "+dottedVars+".", envPattern, "letters, digits and _",
			func(s *service) *map[string]string { return &s.Env }).Then(expands),
		{
			Name: "volumes",
			Doc:  "Folders that outlive releases, by name: the path that a container sees. A process gets {{.Volumes.NAME}}.",
			Schema: Schema{
				"type": "object", "propertyNames": Schema{"pattern": namePattern},
				"additionalProperties": Schema{"type": "string", "pattern": absolutePattern},
			},
			Set: setData, Get: func(s *service) any { return s.Data },
		},
		{
			Name: "files",
			Doc:  "Files of the commit that nodes get with the release, read-only, by name: the path in the repository. {{.Files.NAME}} is where one is on the node.",
			Schema: Schema{
				"type": "object", "propertyNames": Schema{"pattern": namePattern},
				"additionalProperties": Schema{"type": "string", "pattern": filePattern},
			},
			Set: setFiles, Get: func(s *service) any { return s.Files },
		},
		{
			Name: "ports",
			Doc: "The ports that it listens on, each of one service alone: " + appfile.PortForm + "; tcp and every address when left out. " +
				"A release is good when it listens there, and nobody else.",
			Schema: list(Schema{"type": []string{"integer", "string"}, "minimum": 1, "maximum": 65535, "pattern": portPattern}),
			Set:    setPorts,
			Get: func(s *service) any {
				var list []string
				for _, p := range s.Ports {
					text := p.String()
					if p != (appfile.Port{Number: p.Number}) {
						text = quote(text)
					}
					list = append(list, text)
				}
				return plain(flow(list))
			},
		},
		{
			Name: "user", Doc: "Whom it runs as: a name or uid, or uid:gid; a user that its application alone has when left out.",
			Schema: Schema{"type": []string{"string", "integer"}, "pattern": userPattern},
			Set: func(d *Decoder, n Node, s *service) {
				if i, ok := n.(*ast.IntegerNode); ok && userPattern.MatchString(i.Token.Value) {
					s.User = i.Token.Value
					return
				}
				s.User, _ = d.Match(n, "user", userPattern, "a name, a uid or uid:gid")
			},
			Get: func(s *service) any { return s.User },
		},
		Nested("restart", "When and how fast it starts again after it ended.", restartKeys(), func(s *service) *appfile.Restart { return &s.Restart }),
		Duration("stop", "From the request to end to the kill; 10s when left out.", appfile.MaxStop, func(s *service) *appfile.Duration { return &s.StopTimeout }),
		selfTestKey(),
		Duration("stable", "How long it must stay up before a release is good; 5s when left out.", appfile.MaxStable,
			func(s *service) *appfile.Duration { return &s.Stable }),
		Duration("readiness", "The deadline of a self-test that has no within; 60s when left out.", appfile.MaxWithin,
			func(s *service) *appfile.Duration { return &s.Readiness }),
	}
	for k := range keys {
		if keys[k].Name == "restart" {
			get := keys[k].Get
			keys[k].Get = func(s *service) any {
				if s.Kind == appfile.Task {
					return nil
				}
				return get(s)
			}
		}
		if name := keys[k].Name; slices.Contains(tasksOnly(), name) || slices.Contains(othersOnly(), name) {
			keys[k] = keys[k].Then(func(_ *Decoder, n Node, s *service) { s.places[name] = n })
		}
	}
	keys = append(keys, rightsKeys()...)
	for _, r := range f.Runtimes {
		for _, k := range r.Keys {
			keys = append(keys, runtimeOnly(r.Name, k))
		}
	}
	return keys
}

// What only tasks have, and what they do not have.
func tasksOnly() []string { return []string{"within", "while"} }

func othersOnly() []string {
	return []string{"ports", "restart", "selftest", "stable", "readiness"}
}

// kind refuses what does not belong to the kind of s.
func (d *Decoder) kind(s *service) {
	if s.Kind != appfile.Task {
		s.Kind = ""
		for _, name := range tasksOnly() {
			if n, there := s.places[name]; there {
				d.Fail(n, "remove it, or write kind: task", "%s belongs to a task", name)
			}
		}
		return
	}
	s.Restart.Policy = "never" // an agent from before takes it for a service
	for _, name := range othersOnly() {
		if n, there := s.places[name]; there {
			d.Fail(n, "remove it: a task is run once, and has done its work when it ends with 0", "%s does not belong to a task", name)
		}
	}
}

func expands(_ *Decoder, n Node, s *service) { s.expands(n) }

// runtimeOnly returns k as a key of a service that belongs to one runtime.
func runtimeOnly(runtime string, k Key[appfile.Service]) Key[service] {
	key := Key[service]{
		Name: k.Name, Doc: k.Doc, Schema: k.Schema,
		Set: func(d *Decoder, n Node, s *service) {
			s.foreign[k.Name], s.places[k.Name] = runtime, n
			k.Set(d, n, &s.Service)
		},
	}
	if k.Get != nil {
		key.Get = func(s *service) any { return k.Get(&s.Service) }
	}
	return key
}

func setArtifact(d *Decoder, n Node, s *service) {
	s.Artifact, _ = d.Text(n, "artifact")
	d.needsArtifact(n, s.app, s.Artifact)
}

// needsArtifact complains of n, when the file has been read, unless app has the artifact name.
func (d *Decoder) needsArtifact(n Node, app *appfile.App, name string) {
	d.later = append(d.later, func() {
		if _, ok := app.Artifacts[name]; ok || name == "" || len(app.Artifacts) == 0 {
			return
		}
		names := slices.Sorted(maps.Keys(app.Artifacts))
		d.Fail(n, "artifacts of this file: "+strings.Join(names, ", "), "unknown artifact %.60q%s", name, meant(name, names))
	})
}

func (f Format) runtimeKey() Key[service] {
	names := f.runtimes()
	k := OneOf("runtime", fmt.Sprintf("How it runs: %s.", strings.Join(slices.Concat([]string{names[0] + " (the default)"}, names[1:]), ", ")),
		names, func(s *service) *string { return &s.Runtime })
	known := k.Set
	k.Set = func(d *Decoder, n Node, s *service) {
		if v, ok := n.(*ast.StringNode); ok && slices.Contains(f.LaterRuntimes, v.Value) {
			d.Fail(n, "the runtime that is there: "+strings.Join(names, ", "), "the runtime %s is not there yet", v.Value)
			return
		}
		known(d, n, s)
	}
	return k
}

// setPorts reads the ports of a service. Two services of one release cannot have one port.
func setPorts(d *Decoder, n Node, s *service) {
	d.list(n, "ports", func(v Node) {
		if _, colon := v.(ast.MapNode); colon {
			d.Fail(v, `quote it: "127.0.0.1:8080"`, "a port must be a number or text, not a mapping")
			return
		}
		text, ok := d.word(v, "a port")
		if !ok {
			return
		}
		p, err := appfile.ParsePort(text)
		if err != nil {
			d.Fail(v, "write it like "+appfile.PortForm, "%s", strings.TrimSuffix(err.Error(), "; write it like "+appfile.PortForm))
			return
		}
		if at := slices.IndexFunc(s.Ports, p.Collides); at >= 0 {
			d.Fail(v, "keep one of them", "port %s is here twice", p)
			return
		}
		if other, q := appfile.PortOf(s.app.Services, p); other != "" {
			d.Fail(v, "give one of them another port, or another address", "port %s: service %s has %s already", p, other, q)
			return
		}
		s.Ports = append(s.Ports, p)
	})
}

// setData reads the folders of a service's data, which the key calls volumes.
func setData(d *Decoder, n Node, s *service) {
	s.Data = map[string]string{}
	d.each(n, "volumes", func(k keyToken, v Node) {
		to, ok := d.Text(v, fmt.Sprintf("volumes: %.60s", k.Value))
		if !d.name(k, k.Value, "data folder") || !ok {
			return
		}
		if !path.IsAbs(to) || slices.Contains(strings.Split(to, "/"), "..") {
			d.Fail(v, "write it like /data", "volumes: %s: %.60q is not an absolute path", k.Value, to)
			return
		}
		s.Data[k.Value] = to
	})
	if len(s.Data) == 0 {
		s.Data = nil
	}
}

// setFiles reads the files of the commit that a service has. They lie beside the programs of their
// application, and are artifacts of its releases.
func setFiles(d *Decoder, n Node, s *service) {
	s.Files = map[string]string{}
	d.each(n, "files", func(k keyToken, v Node) {
		from, ok := d.Match(v, fmt.Sprintf("files: %.60s", k.Value), filePattern, fileForm)
		if !d.name(k, k.Value, "file") || !ok {
			return
		}
		if path.Clean(from) != from || slices.Contains(strings.Split(from, "/"), "..") {
			d.Fail(v, fileForm, "files: %s: %.60q is not a path in the repository", k.Value, from)
			return
		}
		s.Files[k.Value] = from
		app := s.app
		d.later = append(d.later, func() { // when all are known
			if _, taken := app.Artifacts[k.Value]; taken {
				d.fail(k, "give it another name", "file %s: an artifact is called so", k.Value)
			}
			if _, taken := app.Artifacts[path.Base(from)]; taken {
				d.Fail(v, "call the file in the repository otherwise", "files: %s: on a node the program %s would lie there", k.Value, path.Base(from))
			}
			for _, other := range slices.Sorted(maps.Keys(app.Services)) {
				for _, name := range slices.Sorted(maps.Keys(app.Services[other].Files)) {
					at := app.Services[other].Files[name]
					if name == k.Value && at != from {
						d.Fail(v, "give one of them another name", "files: %s: service %s has %s under that name", name, other, at)
					} else if name != k.Value && path.Base(at) == path.Base(from) {
						d.Fail(v, "call one of them otherwise", "files: %s and %s: both would be called %s on a node", name, k.Value, path.Base(at))
					}
				}
			}
		})
	})
	if len(s.Files) > appfile.MaxFiles {
		d.Fail(n, "an application with more has them in a program or an archive", "%d files: at most %d", len(s.Files), appfile.MaxFiles)
	}
	if len(s.Files) == 0 {
		s.Files = nil
	}
}

const fileForm = "a path in the repository like deploy/app.ini; its last part has letters, digits, ., _, + and -, and begins with no dot"

func restartKeys() []Key[appfile.Restart] {
	return []Key[appfile.Restart]{
		OneOf("policy", "always (the default), on-failure or never.", []string{"always", "on-failure", "never"},
			func(r *appfile.Restart) *string { return &r.Policy }),
		{
			Name: "backoff", Doc: "The first and the longest wait, which doubles in between; 1s..5m when left out.",
			Schema: Schema{"type": "string", "pattern": backoffPattern},
			Set:    func(d *Decoder, n Node, r *appfile.Restart) { r.Backoff, _ = d.backoff(n) },
			Get: func(r *appfile.Restart) any {
				if r.Backoff == (appfile.Backoff{}) {
					return nil
				}
				return plain(short(r.Backoff.Min) + ".." + short(r.Backoff.Max))
			},
		},
	}
}
