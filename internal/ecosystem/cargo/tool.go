package cargo

import (
	"cmp"
	"context"
	"os"
	"path/filepath"

	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Tool is cargo.
func Tool() tool.Tool {
	return tool.Tool{
		Name:         Name,
		Command:      "cargo",
		Record:       forSession,
		Serve:        forCache,
		Line:         shellLine,
		Caches:       caches,
		Certificates: []string{"CARGO_HTTP_CAINFO"},
	}
}

// forSession finds the registry, which the proxy then knows by its address. A cargo that has none,
// or is not there, is left to plain URLs.
func forSession(ctx context.Context, s tool.Session) (*tool.Client, error) {
	if !s.Recording && !s.Runs {
		return &tool.Client{Protocol: Held(s.Getter)}, nil
	}
	registry, err := Discover(ctx, cmp.Or(s.WorkDir, "."))
	switch {
	case errs.KindOf(err) == errs.NotFound && s.Recording:
		return nil, nil
	case errs.KindOf(err) == errs.NotFound:
		return &tool.Client{Protocol: Held(s.Getter)}, nil // what is locked can still be proved
	case err != nil:
		return nil, err
	}
	p, err := New(registry, s.Getter)
	if err != nil {
		return nil, err
	}
	return &tool.Client{Protocol: p, Addresses: []tool.Address{{Base: registry, Protocol: p}}}, nil
}

func caches(dir string, logins bool) []string {
	home := filepath.Join(dir, "cargo")
	_ = Home(home, logins) // without it cargo goes on with its defaults
	list := []string{"CARGO_HOME=" + home}
	if root := installRoot(); logins && root != "" {
		list = append(list, "CARGO_INSTALL_ROOT="+root)
	}
	rustup := cmp.Or(os.Getenv("RUSTUP_HOME"), filepath.Join(os.Getenv("HOME"), ".rustup"))
	if i, err := os.Stat(rustup); err == nil && i.IsDir() {
		list = append(list, "RUSTUP_HOME="+rustup) // not a cache: the toolchains, also for a command with another HOME
	}
	return list
}

// installRoot returns where the user's cargo installs programs when nothing else is configured;
// "" when something is.
func installRoot() string {
	if os.Getenv("CARGO_INSTALL_ROOT") != "" {
		return ""
	}
	old := userHome()
	var files [][]byte
	for _, name := range []string{"config.toml", "config"} {
		files = append(files, tool.ProjectFiles(".", ".cargo/"+name, configLength)...)
		if b, err := fsx.ReadFile(filepath.Join(old, name), configLength); err == nil {
			files = append(files, b)
		}
	}
	for _, b := range files {
		var c struct{ Install struct{ Root string } }
		if readTOML(b, &c) == nil && c.Install.Root != "" {
			return ""
		}
	}
	return old
}

func forCache(_ context.Context, s tool.Serving) (*tool.Server, error) {
	switch len(s.Upstreams) {
	case 0:
		return &tool.Server{Protocol: Machine(s.Cache)}, nil // what proves a crate is fetched through the cache too
	case 1:
		p, err := New(s.Upstreams[0], s.Cache)
		return &tool.Server{Protocol: p}, err
	}
	return nil, errs.Errorf(errs.Invalid, "cargo has one registry, not %d", len(s.Upstreams))
}

// shellLine returns the command that writes f into cargo's configuration, in place of what it wrote
// there before: cargo has no command for that.
func shellLine(f tool.Face) string {
	return `(d="${CARGO_HOME:-$HOME/.cargo}"; mkdir -p "$d"; touch "$d/config.toml"; sed -i.old '/# overland$/d' "$d/config.toml"; ` +
		`printf '%s # overland\n' '[source.crates-io]' 'replace-with = "overland"' '[source.overland]' 'registry = "sparse+` +
		f.Mount(Name) + `/"' >>"$d/config.toml")`
}
