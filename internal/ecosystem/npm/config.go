package npm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"overland/internal/ecosystem/tool"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
)

const configLimit = 1 << 20 // bytes of what npm prints

// Config names the registries: absolute http or https URLs.
type Config struct {
	Registry string
	Scopes   map[string]string // registries of scopes, by "@scope"
	Logins   Logins            // credentials for registries that require them
}

// MachineConfig returns the registries that npm itself would use for the project in the folder
// project; "" = for none. npm is asked away from the project, whose .npmrc is read as data.
func MachineConfig(ctx context.Context, project string) (Config, error) {
	// The notifier would ask the registry for a newer npm.
	out, err := tool.Ask(ctx, tool.Question{
		Argv: []string{"npm", "config", "list", "--json", "--no-update-notifier"}, Keep: []string{"NPM_CONFIG_"},
	})
	if err != nil {
		return Config{}, errs.Hint(errs.E(errs.Invalid, err), "install npm, or see what it says when run by hand")
	}
	c, files, err := parseConfig(bytes.NewReader(out))
	if err != nil {
		return c, err
	}
	projects := tool.ProjectFiles(project, ".npmrc", fileLimit)
	c.add(projects)
	c.Logins = readLogins(environ.Child(), projects, files)
	return c, c.check()
}

// add adds the registries that the files of a project name, the nearest first. They count more than
// what the user has in a file, and less than the environment. A value with ${NAME} would send a
// variable of the user's to where the project says: it is ignored.
func (c *Config) add(projects [][]byte) {
	set := map[string]bool{}
	for _, kv := range environ.Child() {
		if key, _, ok := setting(kv); ok {
			set[strings.ToLower(key)] = true
		}
	}
	for _, b := range projects {
		for key, value := range parse(b) {
			scope, ok := strings.CutSuffix(key, ":registry")
			switch {
			case set[strings.ToLower(key)] || variable.MatchString(key+value):
				continue
			case key == "registry":
				c.Registry = value
			case ok && strings.HasPrefix(scope, "@"):
				c.Scopes[scope] = value
			default:
				continue
			}
			set[strings.ToLower(key)] = true
		}
	}
}

// parseConfig reads what "npm config list --json" prints. It also returns the files that npm reads
// besides the project's, the stronger one first.
func parseConfig(r io.Reader) (Config, []string, error) {
	var all map[string]any
	if err := json.NewDecoder(fsx.Limit(r, configLimit)).Decode(&all); err != nil {
		return Config{}, nil, errs.E(errs.Invalid, fmt.Errorf("npm config: %w", err))
	}
	c := Config{Scopes: map[string]string{}}
	c.Registry, _ = all["registry"].(string)
	env := environ.Child() // npm was asked without the variables that its user's files name
	c.Registry = expand(c.Registry, env)
	for name, v := range all {
		scope, ok := strings.CutSuffix(name, ":registry")
		if s, isText := v.(string); ok && isText && strings.HasPrefix(scope, "@") {
			c.Scopes[scope] = expand(s, env)
		}
	}
	var files []string
	for _, name := range []string{"userconfig", "globalconfig"} {
		if s, ok := all[name].(string); ok {
			files = append(files, s)
		}
	}
	return c, files, c.check()
}

func (c Config) check() error {
	for _, s := range c.all() {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
			return errs.Hint(errs.Errorf(errs.Invalid, "npm registry %.200q is not an http or https URL", httpx.Redacted(s)), "npm config get registry")
		}
	}
	return nil
}

// registry returns the registry of q's package, with a slash at the end.
func (c Config) registry(q request) string {
	s, ok := c.Scopes[q.scope()]
	if !ok {
		s = c.Registry
	}
	return slashed(s)
}

// below returns the path, unescaped, of address below the registry of q's package; false when it
// is elsewhere or no tarball that this protocol serves. http and https are the same here:
// registries behind a proxy mix them up.
func (c Config) below(q request, address string) (string, bool) {
	u, err := url.Parse(address)
	if err != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", false
	}
	reg, err := url.Parse(c.registry(q))
	if err != nil || u.Host != reg.Host {
		return "", false
	}
	rel, ok := strings.CutPrefix(u.Path, reg.Path)
	if !ok {
		return "", false
	}
	got, err := parsePath(rel)
	return rel, err == nil && got.File != "" && got.scope() == q.scope()
}

// Env returns the settings, NAME=VALUE, of an npm that goes through the proxy at base and asks
// nothing that is no part of a build. Its registries stay as they are.
func (p *Protocol) Env(base string) []string {
	env := []string{
		"npm_config_proxy=" + base, "npm_config_https_proxy=" + base, // an .npmrc may name others
		"npm_config_audit=false", "npm_config_fund=false", "npm_config_update_notifier=false",
		"pnpm_config_update_notifier=false", // pnpm 11 and later, which heed no npm_config_*
	}
	if slices.ContainsFunc(p.config.all(), onThisMachine) {
		env = append(env, "npm_config_noproxy=none.invalid") // else it would be asked past the recorder
	}
	return env
}

// all returns the registries.
func (c Config) all() []string { return append(slices.Sorted(maps.Values(c.Scopes)), c.Registry) }

// onThisMachine reports whether a registry is at an address for which clients need no proxy.
func onThisMachine(registry string) bool {
	u, err := url.Parse(registry)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// rc returns the registries as a file of npm's, without logins.
func (c Config) rc() []byte {
	var b strings.Builder
	for _, scope := range slices.Sorted(maps.Keys(c.Scopes)) {
		fmt.Fprintf(&b, "%s:registry=%s\n", scope, asAsked(c.Scopes[scope]))
	}
	if base := asAsked(c.Registry); base != "" {
		fmt.Fprintf(&b, "registry=%s\n", base)
	}
	return []byte(b.String())
}
