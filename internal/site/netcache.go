package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/record/shacache/server"
	"overland/internal/store"
)

const (
	netcacheFolder = "netcache"
	policyFile     = "policy.json" // in netcacheFolder: who may write, whose entries are known or revoked
)

// netcache is a site's network cache: shacache and shadir.
type netcache struct {
	shelf  *server.Shelf
	server *server.Server
}

// openNetcache opens the network cache of the site in dir. With open set, everybody may write.
func openNetcache(dir string, blobs *store.Store, open bool, log *slog.Logger) (*netcache, error) {
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
	return &netcache{shelf, server.New(shelf, server.Options{Policy: policy, Log: log})}, nil
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

// roots adds to keep what the network cache names.
func (n *netcache) roots(ctx context.Context, keep map[digest.Digest]bool) error {
	return n.shelf.Blobs(ctx, func(_ string, d digest.Digest, _ int64) error { keep[d] = true; return nil })
}
