package site

import (
	"context"
	"log/slog"
	"net/url"

	"overland/internal/db"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/netcache/server"
	"overland/internal/origin"
	netcacheface "overland/internal/server/netcache"
	storedir "overland/internal/store/dir"
)

const upstreamTries = 2 // of a network cache, in a row, that bring nothing

// netcache is a site's network cache: shacache and shadir.
type netcache struct {
	shelf  *server.Shelf
	server *server.Server
	face   *netcacheface.Face
}

// openNetcache opens the network cache of the site in dir. With open set, everybody may write.
// through, which may be nil, says where it asks for what it lacks; known is the site's database. hides, which may be nil, says of which
// blobs of the depot no writer is told that they are there.
func openNetcache(ctx context.Context, dir string, blobs *storedir.Store, open bool, through *server.Through,
	hides func(context.Context, digest.Digest) (bool, error), known *db.DB, log *slog.Logger,
) (*netcache, error) {
	folder := home.Netcache.In(dir)
	policy := &policyOnDisk{path: home.Policy.In(dir), open: open, facts: known, log: log}
	if err := policy.read(); err != nil {
		return nil, err
	}
	shelf, err := server.Open(folder, blobs, fsx.FS{})
	if err != nil {
		return nil, err
	}
	o := server.Options{Policy: policy.now, Through: through, Hides: hides, Log: log}
	if known != nil {
		if err := importAudit(ctx, folder, known, log); err != nil {
			return nil, err
		}
		o.Audit = (&trail{known: known, keep: auditEvents, every: auditTrim}).note
	}
	s := server.New(shelf, o)
	return &netcache{shelf, s, netcacheface.New(s, netcacheface.Options{Log: log})}, nil
}

// routes returns what the network cache answers. Anyone may read; it knows its
// writers itself, by its policy.
func (n *netcache) routes() []Route {
	h := n.face.Mount("/"+shacacheName, "/"+shadirName, nil)
	return []Route{{"/" + shacacheName, Anyone, h}, {"/" + shadirName, Anyone, h}}
}

// The names under which --cache-upstream takes the services of other network caches.
const (
	shacacheName = "shacache"
	shadirName   = "shadir"
)

// through returns where the network cache of a site asks for what it lacks: its upstream sites,
// then the ones that a person named; nil for nowhere.
func (c *cached) through(dir string, o CacheOptions) (*server.Through, error) {
	t := &server.Through{
		Kept: func(ctx context.Context, name string, d digest.Digest, size int64) error {
			return c.cache.Hold(ctx, shacacheName, name, d, size)
		},
		Offline: c.offline,
		Used:    func(name string) { c.cache.Used(shacacheName, name) },
	}
	// Old clients wait for a minute, and then ask the origin.
	up := &origin.Client{Dir: home.Cache.In(dir), Tell: func(string) bool { return true }, Tries: upstreamTries}
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
		return nil, nil // asking nowhere is fine
	}
	return t, nil
}
