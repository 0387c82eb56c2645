package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"overland/internal/admission"

	"overland/internal/cache"
	"overland/internal/db"
	"overland/internal/digest"
	"overland/internal/ecosystem"
	"overland/internal/ecosystem/oci"
	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/home"
	"overland/internal/lockfile"
	"overland/internal/mirror"
	"overland/internal/netcache/server"
	"overland/internal/operator/holdings"
	"overland/internal/origin"
	"overland/internal/registry"
	cacheserver "overland/internal/server/cache"
	registryface "overland/internal/server/registry"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// CacheOptions are the settings of the cache that a site serves over plain HTTP.
type CacheOptions struct {
	Listen    string              // IP address and port; "" = no cache
	Limit     int64               // bytes that answers may take on the disk; 0 = no limit
	Offline   bool                // ask nobody: neither origins nor upstream sites
	Upstreams map[string][]string // by protocol, URLs in place of what the machine's own tools are configured for
	Writes    bool                // everybody who reaches Listen may write to the network cache: for a closed lab
	Ready     func(addr string)   // called once with the address listened on, when requests are answered
}

// cached is what a site keeps of others: its cache, the network cache, and
// what came from upstream sites.
type cached struct {
	cache    *cache.Cache
	netcache *netcache
	chain    *mirror.Chain // nil = no upstream sites
	mirrors  *oci.Protocol // of other registries; nil = none
	entries  http.Handler  // what the cache holds, for other sites; nil = there is no cache
	handler  http.Handler  // of the cache's own listener; nil = none
	listener *admission.Listener
}

// offline reports whether the site asks nobody for what it lacks; also true
// when the switch cannot be read.
func (c *cached) offline(ctx context.Context) bool {
	off, err := c.cache.Offline(ctx)
	return off || err != nil
}

func (c *cached) close() error {
	if c.netcache != nil {
		c.netcache.server.Close()
	}
	if c.chain != nil {
		c.chain.Close()
	}
	var err error
	if c.cache != nil {
		err = c.cache.Close()
	}
	return err
}

// openCache opens what the site in dir keeps of others. known is the site's database, and images its
// registry; both stay the caller's.
func openCache(ctx context.Context, dir string, blobs *storedir.Store, known *db.DB, images *images, o Options, e edges) (_ *cached, err error) {
	c := &cached{}
	var hides func(context.Context, digest.Digest) (bool, error)
	if p := images.private; p != nil {
		p.cached, hides = c, p.hides
	}
	if len(o.Upstreams) > 0 {
		chain := e.mirror
		chain.Sites, chain.Root, chain.Log, chain.Offline = o.Upstreams, o.Root, o.Log, c.offline
		chain.Kept = func(ctx context.Context, d digest.Digest, size int64) error {
			return c.cache.Hold(ctx, passed, string(d), d, size)
		}
		if c.chain, err = mirror.Open(home.Upstream.In(dir), blobs, chain); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	through, err := c.through(dir, o.Cache)
	if err == nil {
		c.netcache, err = openNetcache(ctx, dir, blobs, o.Cache.Writes, through, hides, known, o.Log)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	up := &origin.Client{Dir: home.Cache.In(dir), Tell: o.named}
	if c.mirrors, err = o.Images.open(up); err != nil {
		return nil, errors.Join(err, c.close())
	}
	var near cache.Near
	if c.chain != nil {
		near = c.chain
	}
	c.cache, err = cache.Open(ctx, home.Cache.In(dir), blobs, cache.Options{
		Upstream: up, Near: near, Offline: o.Cache.Offline, Limit: o.Cache.Limit, Log: o.Log, Facts: facts{known},
		Coming: images.private.coming,
		Roots: func(ctx context.Context) (map[digest.Digest]bool, error) {
			return roots(ctx, dir, blobs, c.netcache.shelf, images.registry)
		},
	})
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	if c.offline(ctx) {
		o.Log.Info("offline: nobody is asked for what is not here", "hint", "overland cache offline off")
	}
	if c.chain != nil {
		if err := c.chain.Pin(ctx); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	var served []*tool.Server
	if o.Cache.Listen != "" {
		if served, err = c.listen(ctx, o); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	if c.mirrors != nil {
		images.mirrored = &registryface.Mirrored{Getter: c.cache, Protocol: c.mirrors, Unnamed: o.Images.Unnamed, Names: o.Names}
		if !o.Images.Private { // other sites have no account here
			served = append(served, &tool.Server{Protocol: c.mirrors})
		}
	}
	if len(served) > 0 {
		c.entries = cacheserver.Entries(c.cache, mirror.CachePath, served...)
	}
	return c, nil
}

// listen opens the address that the cache is served on, for tools over plain HTTP, and returns what is served there.
func (c *cached) listen(ctx context.Context, o Options) ([]*tool.Server, error) {
	if _, _, err := parseListen(o.Cache.Listen); err != nil {
		return nil, err
	}
	served, err := ecosystem.Serve(ctx, o.Cache.Upstreams, []string{shacacheName, shadirName}, c.cache)
	if err != nil {
		return nil, err
	}
	plain, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Cache.Listen)
	if err != nil {
		return nil, errs.Hint(err, "another program may have that port: choose one with --cache-listen")
	}
	// Not tuned for slow links: small buffers in the kernel cost a fast one twice the CPU, measured
	// on loopback: 330 ms for 1 GB in place of 145.
	c.handler, c.listener = cacheserver.New(c.cache, served...), admission.Listen(plain, admission.Options{Conns: o.Conns, Trusted: o.Trusted, Files: o.files})
	return served, nil
}

// named reports whether host is one that a person named to fetch from: it may be a
// cache, even one that asks this one.
func (o Options) named(host string) bool {
	for _, m := range o.Images.Mirrors {
		if m.URL != "" && strings.TrimRight(m.URL[strings.Index(m.URL, "//")+1:], "/") == "/"+host {
			return true
		}
	}
	return o.Cache.named(host)
}

func (o CacheOptions) named(host string) bool {
	for _, list := range o.Upstreams {
		for _, s := range list {
			_, rest, _ := strings.Cut(s, "://") // apt's are lines with a URL in them
			if name, _, _ := strings.Cut(rest, "/"); name == host {
				return true
			}
		}
	}
	return false
}

// roots returns the blobs that must stay in the depot of the site in dir: what its tags and its locks name, what was
// put into the network cache, and what a repository of the registry has. What freezes need, the
// cache's own index knows.
func roots(ctx context.Context, dir string, blobs *storedir.Store, shelf *server.Shelf, images *registry.Registry) (map[digest.Digest]bool, error) {
	tags, err := blobs.Tags(ctx)
	if err != nil {
		return nil, err
	}
	keep, err := named(ctx, dir, blobs, tags)
	if err != nil {
		return nil, err
	}
	if err := images.Roots(ctx, func(d digest.Digest) error { keep[d] = true; return nil }); err != nil {
		return nil, err
	}
	return keep, shelf.Blobs(ctx, func(_ string, d digest.Digest, _ int64) error { keep[d] = true; return nil })
}

// named returns the blobs that tags reach, which is every release, and those that the locks in the site's directory and
// those recorded with it name.
func named(ctx context.Context, dir string, blobs *storedir.Store, tags []ocispec.Descriptor) (map[digest.Digest]bool, error) {
	reached, err := store.Reach(ctx, blobs, tags, nil)
	if err != nil {
		return nil, err
	}
	keep := map[digest.Digest]bool{}
	for _, d := range reached {
		keep[d.Digest] = true
	}
	files, err := holdings.Noted(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		if err := addLock(keep, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
	return keep, nil
}

func addLock(keep map[digest.Digest]bool, path string) error {
	l, err := lockfile.Load(path)
	if err != nil {
		return err
	}
	for _, e := range l.Entries {
		keep[e.Blob] = true
	}
	return nil
}
