package apt

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/errs"
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
	if _, err := os.Stat(before); err == nil { // apt itself passes over one that is not there
		fmt.Fprintf(&b, "#include %q;\n", before)
	}
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
