package apt

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"overland/internal/errs"
)

// Setup writes into dir, an absolute path, what an apt needs to go through base, the address of
// this protocol's mount, and returns the settings, NAME=VALUE, for its environment. That apt has
// lists and a package cache of its own in dir, empty at first: what the machine's hold was not
// recorded, and apt-get update through base would remove them. before is the file that APT_CONFIG
// named so far, whose other settings stay; "" = none.
func (p *Protocol) Setup(dir, base, before string) ([]string, error) {
	u, err := url.Parse(base)
	if err != nil || strings.ContainsAny(dir+base+before, "\"\n") {
		return nil, errs.Errorf(errs.Invalid, "apt: cannot be set up in %q for %q", dir, base)
	}
	const dirMode, fileMode = 0o755, 0o644
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), dirMode); err != nil {
			return nil, err
		}
	}
	sources, config := filepath.Join(dir, "overland.sources"), filepath.Join(dir, "apt.conf")
	var b strings.Builder
	if _, err := os.Stat(before); err == nil { // apt itself passes over one that is not there
		fmt.Fprintf(&b, "#include %q;\n", before)
	}
	for _, kv := range [][2]string{
		{"Dir::Etc::sourcelist", sources},
		{"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::State::lists", filepath.Join(dir, "lists")},
		{"Dir::Cache::archives", filepath.Join(dir, "archives")},
		{"Dir::Cache::pkgcache", ""},
		{"Dir::Cache::srcpkgcache", ""},
		{"Acquire::http::Proxy::" + u.Hostname(), "DIRECT"}, // for all hosts the machine's would win: it is read later
		{"Acquire::Retries", "0"},                           // the recorder tries again by itself; a miss stays one
		{"APT::Sandbox::User", "root"},                      // dir may be closed to the user that apt would become
	} {
		fmt.Fprintf(&b, "%s %q;\n", kv[0], kv[1])
	}
	if err := os.WriteFile(sources, []byte(p.Sources(base)), fileMode); err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, []byte(b.String()), fileMode); err != nil {
		return nil, err
	}
	return []string{"APT_CONFIG=" + config}, nil
}
