package cargo

import (
	"fmt"
	"regexp"
	"strings"

	"overland/internal/ecosystem/tool"
)

// projectConfig is the part of a .cargo/config.toml that says where crates come from. The rest,
// which names programs that cargo would run, is not read.
type projectConfig struct {
	Source     map[string]source
	Registries map[string]struct{ Index string }
}

type source struct {
	ReplaceWith string `toml:"replace-with"`
	Registry    string
}

// replacements returns what the configuration of the project says of crates-io, as settings for
// cargo's --config: the sources on the way from there, and nothing else. ok is false when the way
// ends at a source that the project names and that is not a sparse registry. cargo opens a folder,
// or a git repository, itself, past the proxy that it is asked behind: over SSH to a host that the
// project names, for example.
func replacements(project string) (settings []string, ok bool) {
	all := projectConfig{map[string]source{}, map[string]struct{ Index string }{}}
	for _, name := range []string{".cargo/config", ".cargo/config.toml"} { // cargo prefers the first where both stand
		for _, b := range tool.ProjectFiles(project, name, configLength) {
			var c projectConfig
			if readTOML(b, &c) != nil {
				continue // cargo itself says so to the command
			}
			addMissing(all.Source, c.Source)
			addMissing(all.Registries, c.Registries)
		}
	}
	const most = 16 // sources that replace one another
	set := func(format string, name, value string) {
		settings = append(settings, fmt.Sprintf(format+" = %s", quoted(name), quoted(value)))
	}
	for name := "crates-io"; len(settings) < most; {
		s, known := all.Source[name]
		switch {
		case known && s.ReplaceWith != "":
			set("source.%s.replace-with", name, s.ReplaceWith)
			name = s.ReplaceWith
		case known:
			set("source.%s.registry", name, s.Registry)
			return settings, sparse.MatchString(s.Registry)
		case all.Registries[name].Index != "":
			set("registries.%s.index", name, all.Registries[name].Index)
			return settings, sparse.MatchString(all.Registries[name].Index)
		default: // what is built in, or in the user's configuration
			return settings, true
		}
	}
	return nil, false
}

// sparse matches the address of a registry that cargo asks through the proxy.
var sparse = regexp.MustCompile(`^sparse\+https?://`)

// addMissing adds to all what is named in farther alone: the nearest file counts.
func addMissing[V any](all, farther map[string]V) {
	for name, v := range farther {
		if _, nearer := all[name]; !nearer {
			all[name] = v
		}
	}
}

// quoted returns s as a basic string of TOML.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}
