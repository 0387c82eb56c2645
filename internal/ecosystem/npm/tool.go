package npm

import (
	"cmp"
	"context"
	"os"
	"path/filepath"

	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
)

// Name is the protocol's name in locks.
const Name = "npm"

// mount is where a cache serves the protocol. No package has such a name: npm moves the address of
// a tarball below another registry unless its path begins like that registry's, as that of the
// package npm does below /npm/.
const mount = "_npm"

// registries is the file, in a session's folder, that names the registries and holds no login.
const registries = "npmrc"

// Tool is the npm command.
func Tool() tool.Tool {
	return tool.Tool{
		Name:         Name,
		Command:      "npm",
		Record:       forSession,
		Serve:        forCache,
		Line:         func(f tool.Face) string { return "npm config set registry " + f.Mount(mount) + "/" },
		Caches:       caches,
		Certificates: []string{"NODE_EXTRA_CA_CERTS", "npm_config_cafile"},
	}
}

func forSession(ctx context.Context, s tool.Session) (*tool.Client, error) {
	if !tool.Installed("npm") {
		return nil, nil
	}
	if !s.Recording && !s.Runs {
		// A lock's own documents prove its tarballs, whatever the registry: npm is not asked.
		return &tool.Client{Protocol: &Protocol{getter: s.Getter}}, nil
	}
	c, err := MachineConfig(ctx, cmp.Or(s.WorkDir, "."))
	if err != nil {
		return nil, err
	}
	p, err := New(c, s.Getter)
	if err != nil {
		return nil, err
	}
	client := &tool.Client{Protocol: p, Environ: p.environ}
	if s.Recording {
		client.Addresses = p.addresses(ctx, nil, nil)
	} else {
		client.Addresses = p.addresses(ctx, s.Lock, s.Blobs)
	}
	return client, nil
}

func (p *Protocol) environ(at tool.Place) ([]string, error) {
	const mode = 0o600
	return p.Env(at.Proxy), os.WriteFile(filepath.Join(at.Dir, registries), p.config.rc(), mode)
}

func caches(dir string, logins bool) []string {
	list := []string{"npm_config_cache=" + filepath.Join(dir, "npm")}
	if !logins {
		list = append(list, "npm_config_userconfig="+filepath.Join(dir, registries)) // the user's own is out of sight
	}
	return list
}

func forCache(ctx context.Context, s tool.Serving) (*tool.Server, error) {
	var c Config
	var err error
	switch len(s.Upstreams) {
	case 0:
		if c, err = MachineConfig(ctx, ""); err != nil {
			return nil, err
		}
		c.Logins = nil // else every client of the cache would read with them
	case 1:
		c.Registry = s.Upstreams[0]
	default:
		return nil, errs.Errorf(errs.Invalid, "npm has one registry, not %d", len(s.Upstreams))
	}
	p, err := New(c, s.Cache) // npm ci asks for tarballs alone: what proves them is fetched through the cache too
	return &tool.Server{Protocol: p, Mount: mount}, err
}
