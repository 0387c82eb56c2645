package site

import (
	"context"
	"net/url"
	"os/exec"
	"slices"
	"strings"

	"overland/internal/cache"
	"overland/internal/ecosystem/apk"
	"overland/internal/ecosystem/cargo"
	"overland/internal/ecosystem/golang"
	"overland/internal/ecosystem/npm"
	"overland/internal/ecosystem/pypi"
	"overland/internal/errs"
	"overland/internal/origin"
	"overland/internal/record"
)

// speech is a protocol that a site's cache can speak.
type speech struct {
	name string // the protocol's own
	tool string // the command of this machine whose configuration says where things come from
	// open returns the protocol. It is called when the tool is on this machine or upstreams were given.
	open func(ctx context.Context, o opening) (record.Protocol, error)
	// env returns the command that points another machine's tool at a cache; "" when it cannot be pointed at that one.
	env func(f face) string
}

// spoken are the protocols that a site's cache can speak.
var spoken = []speech{
	{golang.Name, "go", openGo, func(f face) string { return "go env -w GOPROXY=" + f.mount(golang.Name) }},
	{"npm", "npm", openNPM, func(f face) string { return "npm config set registry " + f.mount("npm") + "/" }},
	{pypi.Name, "pip", openPyPI, func(f face) string {
		// pip speaks plain HTTP only to hosts that it is told to trust.
		return "pip config set global.index-url " + f.mount(pypi.Name) + "/simple/ && pip config set global.trusted-host " + f.host()
	}},
	{"apt", "apt-get", openAPT, envAPT},
	{cargo.Name, "cargo", openCargo, envCargo},
	{apk.Name, "apk", openAPK, envAPK},
}

// opening is what a protocol is opened with.
type opening struct {
	own    []string // upstreams that were given: they replace what the tool is configured for
	here   bool     // the tool is on this machine
	up     *origin.Client
	keeper *cache.Cache // the cache itself, for a protocol that needs more than it is asked for
}

// protocols returns what the cache speaks: each protocol whose tool is on this machine, or that was given upstreams.
func (o CacheOptions) protocols(ctx context.Context, up *origin.Client, k *cache.Cache) ([]record.Protocol, error) {
	var names, tools []string
	for _, s := range spoken {
		names, tools = append(names, s.name), append(tools, s.tool)
	}
	for name := range o.Upstreams {
		if !slices.Contains(names, name) && name != shacacheName && name != shadirName {
			return nil, errs.Hint(errs.Errorf(errs.Invalid, "the cache does not speak %q", name), "it speaks: %s", strings.Join(append(names, shacacheName, shadirName), ", "))
		}
	}
	var list []record.Protocol
	for _, s := range spoken {
		_, err := exec.LookPath(s.tool)
		with := opening{own: o.Upstreams[s.name], here: err == nil, up: up, keeper: k}
		if len(with.own) == 0 && !with.here {
			continue
		}
		p, err := s.open(ctx, with)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	if len(list) == 0 {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "there is nothing to cache: none of %s is on this machine", strings.Join(tools, ", ")),
			"install one, or say where things come from: --cache-upstream %s=URL", names[0])
	}
	return list, nil
}

func openGo(ctx context.Context, o opening) (record.Protocol, error) {
	var env golang.Env
	if o.here {
		var err error
		if env, err = golang.ReadEnv(ctx, ""); err != nil {
			return nil, err
		}
	}
	if len(o.own) > 0 {
		env.GOPROXY = strings.Join(o.own, ",")
	}
	return golang.New(env, o.keeper) // what the checksum database says is kept in the cache too, and not in memory
}

func openNPM(ctx context.Context, o opening) (record.Protocol, error) {
	var c npm.Config
	var err error
	switch {
	case len(o.own) > 1:
		return nil, errs.Errorf(errs.Invalid, "npm has one registry, not %d", len(o.own))
	case len(o.own) == 1:
		c.Registry = o.own[0]
	default:
		if c, err = npm.MachineConfig(ctx, ""); err != nil {
			return nil, err
		}
		c.Logins = nil // whoever reaches the cache would read with them
	}
	return npm.New(c, o.keeper) // npm ci asks for tarballs alone: what proves them is fetched through the cache too
}

func openPyPI(_ context.Context, o opening) (record.Protocol, error) {
	switch len(o.own) {
	case 0:
		return pypi.Machine(o.keeper), nil
	case 1:
		return pypi.New(pypi.Config{Index: o.own[0]}, o.keeper)
	}
	return nil, errs.Errorf(errs.Invalid, "pypi has one index, not %d", len(o.own))
}

func openCargo(_ context.Context, o opening) (record.Protocol, error) {
	switch len(o.own) {
	case 0:
		return cargo.Machine(o.keeper), nil
	case 1:
		return cargo.New(o.own[0], o.keeper)
	}
	return nil, errs.Errorf(errs.Invalid, "cargo has one registry, not %d", len(o.own))
}

// envCargo returns the command that writes f into cargo's configuration, in place of what it wrote there before: cargo has
// no command for that.
func envCargo(f face) string {
	return `(d="${CARGO_HOME:-$HOME/.cargo}"; mkdir -p "$d"; touch "$d/config.toml"; sed -i.old '/# overland$/d' "$d/config.toml"; ` +
		`printf '%s # overland\n' '[source.crates-io]' 'replace-with = "overland"' '[source.overland]' 'registry = "sparse+` +
		f.mount(cargo.Name) + `/"' >>"$d/config.toml")`
}

// face is a cache as other machines see it.
type face struct {
	base   string // its URL, without a slash at the end
	freeze string // the state to see; "" = the newest
}

// mount returns the URL of the protocol called name, without a slash at the end.
func (f face) mount(name string) string {
	if f.freeze != "" {
		return f.base + "/at/" + f.freeze + "/" + name
	}
	return f.base + "/" + name
}

// host returns the host of f, with its port when there is one.
func (f face) host() string {
	_, host, _ := strings.Cut(f.base, "://")
	host, _, _ = strings.Cut(host, "/")
	return host
}

// CacheEnv returns a line of shell for each protocol that a site's cache can speak: it points that protocol's tool, on
// the machine where it is run, at the cache at base, an http or https URL, as of the freeze of that name ("" = none).
func CacheEnv(base, freeze string) ([]string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.ContainsAny(base, " '\"$`\\") {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "cache %q", base), "write it like http://10.0.0.1:3142")
	}
	if freeze != "" && !cache.ValidName(freeze) {
		return nil, errs.Errorf(errs.Invalid, "freeze %q", freeze)
	}
	var lines []string
	for _, s := range spoken {
		if l := s.env(face{strings.TrimRight(base, "/"), freeze}); l != "" {
			lines = append(lines, l)
		}
	}
	return lines, nil
}
