package golang

import (
	"cmp"
	"context"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/ecosystem/tool"
	"overland/internal/lockfile"
)

// Tool is the go command.
func Tool() tool.Tool {
	return tool.Tool{
		Name:    Name,
		Command: "go",
		Record:  forSession,
		Serve:   forCache,
		Line:    func(f tool.Face) string { return "go env -w GOPROXY=" + f.Mount(Name) },
		Idle:    func(key string) bool { return strings.HasPrefix(key, "sumdb/") && strings.HasSuffix(key, "/latest") },
	}
}

func forSession(ctx context.Context, s tool.Session) (*tool.Client, error) {
	if !tool.Installed("go") {
		return nil, nil
	}
	ask := ReadEnv
	if !s.Recording && !s.Runs {
		ask = func(context.Context) (Env, error) { return heldEnv() }
	}
	e, err := ask(ctx)
	if err != nil {
		return nil, err
	}
	p, err := New(e, s.Getter)
	if err != nil {
		return nil, err
	}
	if !s.Recording {
		e.GOCACHE = "" // the user's is out of sight
		if s.Lock != nil && !slices.ContainsFunc(s.Lock.Entries, func(l lockfile.Entry) bool { return l.Protocol == Name && strings.HasPrefix(l.Key, "sumdb/") }) {
			e.GOSUMDB = "off" // as where it was recorded
		}
	}
	if s.Recording {
		p.FreezeLater() // a command that fetches no modules does not wait for the database
	} else {
		_ = p.Freeze(ctx) // a lock without a tree was recorded with the database off
	}
	return &tool.Client{
		Protocol: p, Environ: func(at tool.Place) ([]string, error) { return e.pointed(at), nil },
		Beside:  info,
		Lacking: func(l *lockfile.Lock) []string { return lacking(l, cmp.Or(s.WorkDir, ".")) },
	}, nil
}

// pointed returns the settings that point a go command at the session at at.
func (e Env) pointed(at tool.Place) []string {
	proxy := at.Mount
	if strings.Contains(e.GOPROXY, "direct") {
		proxy += ",direct" // as on the machine: a version control system, through the HTTP proxy
	}
	list := []string{"GOPROXY=" + proxy, "GOSUMDB=" + e.sumdb(at.Mount), "GONOSUMDB=" + e.GONOSUMDB} // they may be set in a file in HOME
	if !at.OwnCaches {
		return list
	}
	// GOPATH is a cache too: it holds the last tree of the checksum database.
	path, bin := filepath.Join(at.Dir, "go"), e.GOBIN
	if first := filepath.SplitList(e.GOPATH); bin == "" && len(first) > 0 {
		bin = filepath.Join(first[0], "bin") // go install goes where it always did
	}
	if e.GOCACHE != "" && !slices.ContainsFunc(at.Environ, func(kv string) bool { return strings.HasPrefix(kv, "GOCACHE=") }) {
		list = append(list, "GOCACHE="+e.GOCACHE) // nothing in it was fetched, and it lies where XDG_CACHE_HOME says
	}
	return append(list, "GOPATH="+path, "GOMODCACHE="+filepath.Join(path, "pkg", "mod"), "GOBIN="+bin)
}

// sumdb returns GOSUMDB for a command, which must not know the caller's logins: where the address of
// the database holds one, the protocol at mount, which has it, is the address.
func (e Env) sumdb(mount string) string {
	name, address, _ := strings.Cut(strings.TrimSpace(e.GOSUMDB), " ")
	if u, err := url.Parse(strings.TrimSpace(address)); err == nil && u.User == nil {
		return e.GOSUMDB
	}
	db, on, err := e.database()
	if err != nil || !on {
		return name
	}
	return name + " " + mount + "/sumdb/" + db.name
}

func forCache(ctx context.Context, s tool.Serving) (*tool.Server, error) {
	var e Env
	if s.Here {
		var err error
		if e, err = ReadEnv(ctx); err != nil {
			return nil, err
		}
	}
	if len(s.Upstreams) > 0 {
		e.GOPROXY = strings.Join(s.Upstreams, ",")
	}
	p, err := New(e, s.Cache) // what the checksum database says is kept in the cache too
	return &tool.Server{Protocol: p}, err
}
