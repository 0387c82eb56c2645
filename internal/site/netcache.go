package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"sync"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/health"
	"overland/internal/home"
	"overland/internal/netcache/server"
	"overland/internal/origin"
	netcacheface "overland/internal/server/netcache"
	storedir "overland/internal/store/dir"
)

const (
	upstreamTries = 2 // of a network cache, in a row, that bring nothing
)

// netcache is a site's network cache: shacache and shadir.
type netcache struct {
	shelf  *server.Shelf
	server *server.Server
	face   *netcacheface.Face
}

// openNetcache opens the network cache of the site in dir. With open set, everybody may write. through, which may be nil,
// says where it asks for what it has not.
func openNetcache(dir string, blobs *storedir.Store, open bool, through *server.Through, log *slog.Logger) (*netcache, error) {
	folder := home.Netcache.In(dir)
	policy := &policyOnDisk{path: home.Policy.In(dir), open: open, log: log}
	if err := policy.read(); err != nil {
		return nil, err
	}
	shelf, err := server.Open(folder, blobs, fsx.FS{})
	if err != nil {
		return nil, err
	}
	s := server.New(shelf, server.Options{Policy: policy.now, Through: through, Log: log})
	return &netcache{shelf, s, netcacheface.New(s, netcacheface.Options{Log: log})}, nil
}

// policyOnDisk is the policy as a person writes it, who may write it anew while the site runs.
type policyOnDisk struct {
	path string
	open bool // everybody may write, whatever the file says
	log  *slog.Logger

	mu      sync.Mutex
	seen    fs.FileInfo // of the file that was read; nil = there was none
	policy  *server.Policy
	trouble health.Trouble // it cannot be read now
}

// now returns the policy. When the file cannot be read any more, the last one that could stays, and each call tries again.
func (p *policyOnDisk) now() *server.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.read()
	if p.trouble.Report(err) == health.Began {
		p.log.Error("the network cache's policy cannot be read: the previous one stays in force", "error", err, "hint", errs.HintOf(err))
	}
	return p.policy
}

// read reads the file when it is another one than the one that was read last.
func (p *policyOnDisk) read() error {
	info, err := os.Stat(p.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	first := p.policy == nil
	if !first && same(info, p.seen) {
		return nil
	}
	policy, err := readPolicy(p.path)
	if err != nil {
		return err
	}
	p.seen = info
	for _, w := range policy.Warnings {
		p.log.Warn("a part of the network cache's policy is left out", "why", w)
	}
	policy.Open = policy.Open || p.open
	if p.policy = &policy; !first {
		p.log.Info("the network cache's policy is a new one")
	}
	return nil
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

// same reports whether two looks at a file, nil where there was none, saw the same content.
func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// routes returns what the network cache answers. Anyone may read; it knows its writers itself, by its policy.
func (n *netcache) routes() []Route {
	h := n.face.Mount("/"+shacacheName, "/"+shadirName, nil)
	return []Route{{"/" + shacacheName, Anyone, h}, {"/" + shadirName, Anyone, h}}
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
		return nil, nil // nowhere is no error
	}
	return t, nil
}
