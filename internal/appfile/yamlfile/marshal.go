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
	"overland/internal/platform"
)

// Marshal returns app as a commented overland.yaml that a person can go on from. Parse reads it back as app.
func Marshal(app *appfile.App) []byte {
	w := &writer{}
	w.line(0, "# What this repository builds, and how it runs. Every key: docs/reference/overland-yaml.md of Overland.")
	w.line(0, "overland: %d", appfile.Version)
	w.line(0, "name: %s", quote(app.Name))
	w.line(0, "")
	w.line(0, "# What is built, by name: a Go command, for these platforms.")
	w.line(0, "artifacts:")
	for _, name := range slices.Sorted(maps.Keys(app.Artifacts)) {
		w.artifact(name, app.Artifacts[name])
	}
	if len(app.Services) > 0 {
		w.line(0, "")
		w.line(0, "# What runs on a node, by name. Add args, env, ports and volumes as the program needs them.")
		w.line(0, "services:")
		for _, name := range slices.Sorted(maps.Keys(app.Services)) {
			w.service(name, app.Services[name])
		}
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

// text writes a key whose empty value is left out.
func (w *writer) text(depth int, key, value string) {
	if value != "" {
		w.line(depth, "%s: %s", key, quote(value))
	}
}

func (w *writer) duration(depth int, key string, d appfile.Duration) {
	if d != 0 {
		w.line(depth, "%s: %s", key, short(d))
	}
}

func (w *writer) words(depth int, key string, list []string) {
	if len(list) > 0 {
		w.line(depth, "%s: %s", key, flow(list))
	}
}

func (w *writer) texts(depth int, key string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	w.line(depth, "%s:", key)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		w.line(depth+1, "%s: %s", quote(name), quote(m[name]))
	}
}

func (w *writer) artifact(name string, a appfile.Artifact) {
	w.line(1, "%s:", quote(name))
	switch g := a.Go; {
	case g == nil:
	case g.Dir == "" && g.Toolchain == "" && len(g.Tags) == 0 && len(g.Vars) == 0:
		w.line(2, "go: %s", quote(g.Package))
	default:
		w.line(2, "go:")
		w.line(3, "package: %s", quote(g.Package))
		w.text(3, "dir", g.Dir)
		w.text(3, "toolchain", g.Toolchain)
		w.words(3, "tags", g.Tags)
		w.texts(3, "vars", g.Vars)
	}
	if c := a.Command; c != nil {
		w.line(2, "command:")
		w.line(3, "run: %s", flow(c.Run))
		w.line(3, "output: %s", quote(c.Output))
	}
	if len(a.Platforms) > 0 {
		w.line(2, "platforms: %s", flow(platformTexts(a.Platforms)))
	}
}

func platformTexts(list []platform.Platform) []string {
	s := make([]string, len(list))
	for i, p := range list {
		s[i] = string(p)
	}
	return s
}

func (w *writer) service(name string, s appfile.Service) {
	w.line(1, "%s:", quote(name))
	w.line(2, "artifact: %s", quote(s.Artifact))
	w.text(2, "runtime", s.Runtime)
	w.words(2, "args", s.Args)
	w.texts(2, "env", s.Env)
	w.texts(2, "volumes", s.Volumes)
	if len(s.Ports) > 0 {
		list := make([]string, len(s.Ports))
		for i, p := range s.Ports {
			list[i] = strconv.Itoa(p)
		}
		w.line(2, "ports: [%s]", strings.Join(list, ", "))
	}
	w.text(2, "user", s.User)
	if s.Restart != (appfile.Restart{}) {
		w.line(2, "restart:")
		w.text(3, "policy", s.Restart.Policy)
		if b := s.Restart.Backoff; b != (appfile.Backoff{}) {
			w.line(3, "backoff: %s..%s", short(b.Min), short(b.Max))
		}
	}
	w.duration(2, "stop", s.StopTimeout)
	if len(s.SelfTest) > 0 {
		w.line(2, "selftest:")
		for _, c := range s.SelfTest {
			w.line(3, "- {%s}", strings.Join(checkTexts(c), ", "))
		}
	} else {
		w.line(2, "# A release is good when its service answers. Until you say how, it only has to stay up.")
		w.line(2, "# selftest:")
		w.line(2, "#   - {http: \"http://127.0.0.1:8080/health\", status: 200, within: 60s}")
	}
	w.duration(2, "stable", s.Stable)
	w.duration(2, "readiness", s.Readiness)
}

func checkTexts(c appfile.Check) []string {
	var list []string
	add := func(key, value string) {
		if value != "" {
			list = append(list, key+": "+value)
		}
	}
	text := func(key, value string) {
		if value != "" {
			add(key, quote(value))
		}
	}
	text("http", c.HTTP)
	if c.Status != 0 {
		add("status", strconv.Itoa(c.Status))
	}
	text("tcp", c.TCP)
	if len(c.Exec) > 0 {
		add("exec", flow(c.Exec))
	}
	text("log", c.Log)
	text("contains", c.Contains)
	if c.Within != 0 {
		add("within", short(c.Within))
	}
	return list
}

func flow(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// bare matches texts that need no quotes anywhere, as long as YAML does not take them for something else.
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

// short returns d without the zeros of time.Duration's text: 5m, not 5m0s.
func short(d appfile.Duration) string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
