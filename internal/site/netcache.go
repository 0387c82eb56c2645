package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/record"
	"overland/internal/record/shacache/server"
	"overland/internal/store"
)

const (
	upstreamTries  = 2 // of a network cache, in a row, that bring nothing
	netcacheFolder = "netcache"
	policyFile     = "policy.json" // in netcacheFolder: who may write, whose entries are known or revoked
)

// netcache is a site's network cache: shacache and shadir.
type netcache struct {
	shelf  *server.Shelf
	server *server.Server
}

// openNetcache opens the network cache of the site in dir. With open set, everybody may write. through, which may be nil,
// says where it asks for what it has not.
func openNetcache(dir string, blobs *store.Store, open bool, through *server.Through, log *slog.Logger) (*netcache, error) {
	folder := filepath.Join(dir, netcacheFolder)
	policy, err := readPolicy(filepath.Join(folder, policyFile))
	if err != nil {
		return nil, err
	}
	for _, w := range policy.Warnings {
		log.Warn("a part of the network cache's policy is left out", "why", w)
	}
	policy.Open = policy.Open || open
	shelf, err := server.Open(folder, blobs, fsx.FS{})
	if err != nil {
		return nil, err
	}
	return &netcache{shelf, server.New(shelf, server.Options{Policy: policy, Through: through, Log: log})}, nil
}

func readPolicy(path string) (server.Policy, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return server.Policy{}, nil
	}
	if err != nil {
		return server.Policy{}, err
	}
	defer f.Close()
	p, err := server.ParsePolicy(f)
	if err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// over serves the network cache below /shacache and /shadir, everything else by next.
func (n *netcache) over(next http.Handler) http.Handler {
	return n.server.Mount("/shacache", "/shadir", next)
}

// The names under which --cache-upstream takes the services of other network caches.
const (
	shacacheName = "shacache"
	shadirName   = "shadir"
)

// through returns where the network cache of a site asks for what it has not: its upstream sites, then those that a person
// named; nil for nowhere.
func (c *cached) through(dir string, o CacheOptions) (*server.Through, error) {
	t := &server.Through{
		Kept: func(ctx context.Context, name string, d digest.Digest, size int64) error {
			return c.keeper.Hold(ctx, shacacheName, name, d, size)
		},
		Offline: c.offline,
		Used:    func(name string) { c.keeper.Used(shacacheName, name) },
	}
	// Old clients wait for a minute, and then ask the origin.
	up := &record.Upstream{Dir: filepath.Join(dir, cacheFolder), Tell: func(string) bool { return true }, Tries: upstreamTries}
	if c.chain != nil {
		up.Transport = c.chain.Transport()
		for _, base := range c.chain.Bases() {
			t.Blobs, t.Lists = append(t.Blobs, base+"/"+shacacheName), append(t.Lists, base+"/"+shadirName)
		}
	}
	for _, list := range [][]string{o.Upstreams[shacacheName], o.Upstreams[shadirName]} {
		for _, s := range list {
			if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
				return nil, errs.Hint(errs.Errorf(errs.Invalid, "network cache %q", s), "write it like http://10.0.0.1:3142/shacache")
			}
		}
	}
	t.Blobs, t.Lists = append(t.Blobs, o.Upstreams[shacacheName]...), append(t.Lists, o.Upstreams[shadirName]...)
	t.Fetch = up
	if len(t.Blobs)+len(t.Lists) == 0 {
		return nil, nil //nolint:nilnil // nowhere is no error
	}
	return t, nil
}
