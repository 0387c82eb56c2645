package pypi

import (
	"context"
	"path/filepath"

	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
)

// Tool is pip.
func Tool() tool.Tool {
	return tool.Tool{
		Name:    Name,
		Command: "pip",
		Record:  forSession,
		Serve:   forCache,
		Line: func(f tool.Face) string {
			// pip speaks plain HTTP only to hosts that it is told to trust.
			return "pip config set global.index-url " + f.Mount(Name) + "/simple/ && pip config set global.trusted-host " + f.Host()
		},
		Caches:       func(dir string, _ bool) []string { return []string{"PIP_CACHE_DIR=" + filepath.Join(dir, "pip")} },
		Certificates: []string{"PIP_CERT", "REQUESTS_CA_BUNDLE"},
	}
}

// forSession needs no pip for a replay: what is locked is all that it serves.
func forSession(_ context.Context, s tool.Session) (*tool.Client, error) {
	if s.Recording && !Installed() {
		return nil, nil
	}
	p := Machine(s.Getter)
	return &tool.Client{Protocol: p, Environ: func(at tool.Place) ([]string, error) { return p.Env(at.Mount), nil }}, nil
}

func forCache(_ context.Context, s tool.Serving) (*tool.Server, error) {
	switch len(s.Upstreams) {
	case 0:
		return &tool.Server{Protocol: Machine(s.Cache)}, nil // what proves a file is fetched through the cache too
	case 1:
		p, err := New(Config{Index: s.Upstreams[0]}, s.Cache)
		return &tool.Server{Protocol: p}, err
	}
	return nil, errs.Errorf(errs.Invalid, "pypi has one index, not %d", len(s.Upstreams))
}
