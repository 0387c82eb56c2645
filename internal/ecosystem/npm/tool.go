package npm

import (
	"cmp"
	"context"
	"path/filepath"

	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
)

// Name is the protocol's name in locks.
const Name = "npm"

// Tool is the npm command.
func Tool() tool.Tool {
	return tool.Tool{
		Name:         Name,
		Command:      "npm",
		Record:       forSession,
		Serve:        forCache,
		Line:         func(f tool.Face) string { return "npm config set registry " + f.Mount(Name) + "/" },
		Caches:       func(dir string, _ bool) []string { return []string{"npm_config_cache=" + filepath.Join(dir, "npm")} },
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
	return &tool.Client{
		Protocol: p, Addresses: p.addresses(),
		Environ: func(at tool.Place) ([]string, error) { return p.Env(at.Mount), nil },
	}, nil
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
	return &tool.Server{Protocol: p}, err
}
