package yamlfile

import (
	"maps"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"overland/internal/appfile"
)

func setServices(d *decoder, n ast.Node, a *appfile.App) {
	a.Services = map[string]appfile.Service{}
	d.each(n, "services", func(k *token.Token, v ast.Node) {
		if !d.name(k, k.Value, "service") {
			return
		}
		s := &service{Service: appfile.Service{Runtime: "process"}, app: a}
		decode(d, v, "service "+k.Value, serviceKeys(), s)
		known := []string{"Release.Version", "Release.App"}
		for _, name := range slices.Sorted(maps.Keys(s.Volumes)) {
			known = append(known, "Volumes."+name)
		}
		for _, e := range s.expanded {
			d.eachText(e, func(v ast.Node, text string) { d.variables(v, text, known) })
		}
		a.Services[k.Value] = s.Service
	})
	if len(a.Services) == 0 {
		a.Services = nil
	}
}

// service is a Service being read.
type service struct {
	appfile.Service
	app      *appfile.App
	expanded []ast.Node // whose texts may hold variables, checked when the volumes are known
}

func serviceKeys() []key[service] {
	duration := schema{"type": "string", "pattern": durationPattern}
	return []key[service]{
		{
			"artifact", "The artifact that it runs.", true,
			schema{"type": "string", "pattern": namePattern},
			func(d *decoder, n ast.Node, s *service) {
				s.Artifact, _ = d.text(n, "artifact")
				app, name := s.app, s.Artifact
				d.later = append(d.later, func() {
					if _, ok := app.Artifacts[name]; ok || name == "" || len(app.Artifacts) == 0 {
						return
					}
					names := slices.Sorted(maps.Keys(app.Artifacts))
					says := ""
					if near := nearest(name, names); near != "" {
						says = " · did you mean " + near + "?"
					}
					d.fail(start(n), "artifacts of this file: "+strings.Join(names, ", "), "unknown artifact %q%s", clip(name), says)
				})
			},
		},
		{
			"runtime", "How it runs: process (the default).", false,
			schema{"enum": []string{"process"}},
			func(d *decoder, n ast.Node, s *service) {
				if v, ok := n.(*ast.StringNode); ok && slices.Contains([]string{"container", "unikernel", "swarm-service"}, v.Value) {
					d.fail(start(n), "the runtime that is there: process", "the runtime %s is not there yet", v.Value)
					return
				}
				s.Runtime, _ = d.oneOf(n, "runtime", "process")
			},
		},
		{
			"args", "Its arguments; " + dottedVars + ".", false, list(word),
			func(d *decoder, n ast.Node, s *service) {
				s.Args = d.words(n, "args")
				s.expanded = append(s.expanded, n)
			},
		},
		{
			"env", "Its environment, by name; in the values " + dottedVars + ".", false, texts(envPattern),
			func(d *decoder, n ast.Node, s *service) {
				s.Env = d.texts(n, "env", envPattern, "letters, digits and _")
				s.expanded = append(s.expanded, n)
			},
		},
		{
			"volumes", "Folders that outlive releases, by name: the path that a container sees. A process gets {{.Volumes.NAME}}.", false,
			schema{
				"type": "object", "propertyNames": schema{"pattern": namePattern},
				"additionalProperties": schema{"type": "string", "pattern": absolutePattern},
			},
			setVolumes,
		},
		{
			"ports", "The ports that it listens on.", false,
			list(schema{"type": "integer", "minimum": 1, "maximum": 65535}), func(d *decoder, n ast.Node, s *service) {
				d.list(n, "ports", func(_ int, v ast.Node) {
					if p, ok := d.number(v, "port", 1, 65535); ok {
						s.Ports = append(s.Ports, p)
					}
				})
			},
		},
		{
			"user", "Whom it runs as: a name or uid, or uid:gid; the agent's own user when left out.", false,
			schema{"type": []string{"string", "integer"}, "pattern": userPattern},
			func(d *decoder, n ast.Node, s *service) {
				if i, ok := n.(*ast.IntegerNode); ok && userPattern.MatchString(i.Token.Value) {
					s.User = i.Token.Value
					return
				}
				s.User, _ = d.match(n, "user", userPattern, "a name, a uid or uid:gid")
			},
		},
		{
			"restart", "When and how fast it starts again after it ended.", false, object(restartKeys()),
			func(d *decoder, n ast.Node, s *service) { decode(d, n, "restart", restartKeys(), &s.Restart) },
		},
		{
			"stop", "From the request to end to the kill; 10s when left out.", false, duration,
			func(d *decoder, n ast.Node, s *service) { s.StopTimeout, _ = d.duration(n, "stop") },
		},
		{"selftest", "What must hold before a release is good.", false, list(object(checkKeys())), setSelfTest},
		{
			"stable", "How long it must stay up before a release is good; 5s when left out.", false, duration,
			func(d *decoder, n ast.Node, s *service) { s.Stable, _ = d.duration(n, "stable") },
		},
		{
			"readiness", "The deadline of a self-test that has no within; 60s when left out.", false, duration,
			func(d *decoder, n ast.Node, s *service) { s.Readiness, _ = d.duration(n, "readiness") },
		},
	}
}

func setVolumes(d *decoder, n ast.Node, s *service) {
	s.Volumes = map[string]string{}
	d.each(n, "volumes", func(k *token.Token, v ast.Node) {
		to, ok := d.text(v, "volume "+clip(k.Value))
		if !d.name(k, k.Value, "volume") || !ok {
			return
		}
		if !path.IsAbs(to) || slices.Contains(strings.Split(to, "/"), "..") {
			d.fail(start(v), "write it like /data", "volume %s: %q is not an absolute path", k.Value, clip(to))
			return
		}
		s.Volumes[k.Value] = to
	})
	if len(s.Volumes) == 0 {
		s.Volumes = nil
	}
}

func restartKeys() []key[appfile.Restart] {
	return []key[appfile.Restart]{
		{
			"policy", "always (the default), on-failure or never.", false,
			schema{"enum": []string{"always", "on-failure", "never"}},
			func(d *decoder, n ast.Node, r *appfile.Restart) {
				r.Policy, _ = d.oneOf(n, "policy", "always", "on-failure", "never")
			},
		},
		{
			"backoff", "The first and the longest wait, which doubles in between; 1s..5m when left out.", false,
			schema{"type": "string", "pattern": backoffPattern},
			func(d *decoder, n ast.Node, r *appfile.Restart) { r.Backoff, _ = d.backoff(n) },
		},
	}
}

// check is a Check being read.
type check struct {
	appfile.Check
	service *service
}

func setSelfTest(d *decoder, n ast.Node, s *service) {
	d.list(n, "selftest", func(_ int, v ast.Node) {
		c := &check{service: s}
		before := len(d.problems)
		decode(d, v, "a self-test", checkKeys(), c)
		if len(d.problems) > before {
			return
		}
		var has []string
		for name, set := range map[string]bool{"http": c.HTTP != "", "tcp": c.TCP != "", "exec": c.Exec != nil, "log": c.Log != ""} {
			if set {
				has = append(has, name)
			}
		}
		slices.Sort(has)
		switch {
		case len(has) != 1:
			d.fail(start(v), "make a self-test of its own for each", "a self-test must have one of http, tcp, exec and log; this one has %s", count(has))
		case c.Status != 0 && c.HTTP == "":
			d.fail(start(v), "remove it", "status belongs to http, not to %s", has[0])
		case c.Contains != "" && c.HTTP == "" && c.Exec == nil:
			d.fail(start(v), "use it with http or exec", "contains does not belong to %s", has[0])
		}
		s.SelfTest = append(s.SelfTest, c.Check)
	})
}

func count(has []string) string {
	if len(has) == 0 {
		return "none"
	}
	return strings.Join(has, " and ")
}

func checkKeys() []key[check] {
	return []key[check]{
		{"http", "A URL that must answer.", false, schema{"type": "string", "pattern": "^https?://"}, setHTTP},
		{
			"status", "The status wanted; any 2xx when left out.", false,
			schema{"type": "integer", "minimum": 100, "maximum": 599},
			func(d *decoder, n ast.Node, c *check) { c.Status, _ = d.number(n, "status", 100, 599) },
		},
		{"tcp", "An address that must accept: 127.0.0.1:6420.", false, schema{"type": "string", "pattern": ":[0-9]+$"}, setTCP},
		{
			"exec", "A program that must end with 0; the first word may be an artifact's name.", false,
			schema{"type": "array", "minItems": 1, "items": word},
			func(d *decoder, n ast.Node, c *check) {
				c.Exec = d.words(n, "exec")
				if len(c.Exec) == 0 || c.Exec[0] == "" {
					c.Exec = []string{}
					d.fail(start(n), "write it like [node, --version]", "exec names no program")
				}
				c.service.expanded = append(c.service.expanded, n)
			},
		},
		{
			"log", "A regular expression that a line of its log must match.", false,
			schema{"type": "string", "minLength": 1},
			func(d *decoder, n ast.Node, c *check) {
				s, ok := d.text(n, "log")
				if _, err := regexp.Compile(s); err != nil || ok && s == "" {
					d.fail(start(n), "the syntax is that of Go's package regexp", "log %q is not a regular expression: %v", clip(s), err)
				}
				c.Log = s
			},
		},
		{
			"contains", "Text that the answer or the output must hold; " + dottedVars + ".", false,
			schema{"type": "string"},
			func(d *decoder, n ast.Node, c *check) {
				c.Contains, _ = d.text(n, "contains")
				c.service.expanded = append(c.service.expanded, n)
			},
		},
		{
			"within", "The deadline, counted from the start; readiness when left out.", false,
			schema{"type": "string", "pattern": durationPattern},
			func(d *decoder, n ast.Node, c *check) { c.Within, _ = d.duration(n, "within") },
		},
	}
}

func setHTTP(d *decoder, n ast.Node, c *check) {
	s, ok := d.text(n, "http")
	if !ok {
		return
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		d.fail(start(n), "write it like http://127.0.0.1:6420/health", "http %q is not a URL", clip(s))
		return
	}
	c.HTTP = s
}

func setTCP(d *decoder, n ast.Node, c *check) {
	s, ok := d.text(n, "tcp")
	if !ok {
		return
	}
	_, port, err := net.SplitHostPort(s)
	if p, perr := strconv.Atoi(port); err != nil || perr != nil || p < 1 || p > 65535 {
		d.fail(start(n), "write it like 127.0.0.1:6420", "tcp %q is not host:port", clip(s))
		return
	}
	c.TCP = s
}
