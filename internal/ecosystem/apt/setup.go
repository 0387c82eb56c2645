package apt

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
)

// Setup writes into dir, an absolute path, what an apt needs to go through the proxy at base, and
// returns the settings, NAME=VALUE, for its environment. That apt has lists and a package cache of
// its own in dir, empty at first: what the machine's hold was not recorded. The sources keep their
// URIs, which preferences name. ca is the file with the authorities that the proxy's certificates
// are of. before is the file that APT_CONFIG named so far, whose other settings stay; "" = none.
func (p *Protocol) Setup(dir, base, ca, before string) ([]string, error) {
	if strings.ContainsAny(dir+base+ca+before, "\"\n") {
		return nil, errs.Errorf(errs.Invalid, "apt: cannot be set up in %q for %q", dir, base)
	}
	const dirMode, fileMode, patience = 0o755, 0o644, "86400" // seconds
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), dirMode); err != nil {
			return nil, err
		}
	}
	sources, config := filepath.Join(dir, "overland.sources"), filepath.Join(dir, "apt.conf")
	var b strings.Builder
	// The recorder waits for its origin. What is set elsewhere counts: it is read later.
	fmt.Fprintf(&b, "Acquire::http::Timeout %q;\nAcquire::https::Timeout %q;\n", patience, patience)
	b.WriteString(p.before(before))
	settings := [][2]string{
		{"Dir::Etc::sourcelist", sources},
		{"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::State::lists", filepath.Join(dir, "lists")},
		{"Dir::Cache::archives", filepath.Join(dir, "archives")},
		{"Dir::Cache::pkgcache", ""},
		{"Dir::Cache::srcpkgcache", ""},
		{"Acquire::Retries", "0"},      // the recorder tries again by itself; a miss stays one
		{"APT::Sandbox::User", "root"}, // dir may be closed to the user that apt would become
	}
	for _, host := range p.hosts() { // for all hosts the machine's settings would win: they are read later
		settings = append(settings, [2]string{"Acquire::http::Proxy::" + host, base}, [2]string{"Acquire::https::Proxy::" + host, base},
			[2]string{"Acquire::https::" + host + "::CAInfo", ca})
	}
	for _, kv := range settings {
		fmt.Fprintf(&b, "%s %q;\n", kv[0], kv[1])
	}
	b.WriteString(p.languages())
	if err := os.WriteFile(sources, []byte(p.Sources()), fileMode); err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, []byte(b.String()), fileMode); err != nil {
		return nil, err
	}
	return []string{"APT_CONFIG=" + config}, nil
}

// hosts returns the hosts of the sources, without ports, sorted.
func (p *Protocol) hosts() (list []string) {
	for _, s := range p.sources {
		for _, raw := range s.URIs {
			if u, id := parseURI(raw); id != "" && !slices.Contains(list, u.Hostname()) {
				list = append(list, u.Hostname())
			}
		}
	}
	slices.Sort(list)
	return list
}

// before returns the settings of the file that APT_CONFIG named so far. A replay's command may not see that file, and apt
// fails when it cannot be included: it gets what is in it, unless that is a password.
func (p *Protocol) before(file string) string {
	if _, err := os.Stat(file); err != nil { // apt itself passes over one that is not there
		return ""
	}
	if !p.locked {
		return fmt.Sprintf("#include %q;\n", file)
	}
	const most = 64 << 10
	b, err := fsx.ReadFile(file, most)
	if text := string(b); err == nil && httpx.RedactedText(text) == text && !strings.Contains(text, "#include") {
		return text + "\n"
	}
	return ""
}

// languages returns the setting of the languages whose translations were recorded, for sources that a command names
// itself: the lock lacks what this machine's settings and locale ask for. "" when the languages are not known.
func (p *Protocol) languages() string {
	var list []string
	for _, s := range p.sources {
		said := s.Options["languages"]
		if !p.locked || said == "" {
			return ""
		}
		for lang := range strings.FieldsFuncSeq(said, func(r rune) bool { return r == ' ' || r == ',' }) {
			if lang != "none" {
				list = union(list, lang)
			}
		}
	}
	switch {
	case len(p.sources) == 0:
		return ""
	case len(list) == 0:
		return "#clear Acquire::Languages;\nAcquire::Languages \"none\";\n"
	}
	slices.Sort(list)
	// What stands behind none is not asked for, such as what is read later.
	return "#clear Acquire::Languages;\nAcquire::Languages { \"" + strings.Join(append(list, "none"), "\"; \"") + "\"; };\n"
}
