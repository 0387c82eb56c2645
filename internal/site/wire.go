package site

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"overland/internal/digest"
	"overland/internal/home"
	"overland/internal/httpx"
	"overland/internal/mirror"
	"overland/internal/server/node"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/trust"
)

const passed = "blob" // in the cache's index: blobs that were fetched through for nodes

// wire makes a site's handlers of its parts.
type wire struct {
	dir    string
	blobs  *storedir.Store
	cached *cached // nil = the site keeps nothing of others
	log    *slog.Logger
}

// handlers returns what is served over HTTPS, and over plain HTTP: nil = nothing. id is the site's in Via.
func (w *wire) handlers(id string) (face, plain http.Handler) {
	o := node.Options{Blobs: w.blobs, Trust: w, Log: w.log}
	if w.cached == nil {
		return httpx.Over(id, nil, node.New(o)), nil
	}
	o.Offline = w.cached.offline
	var asked []string
	if w.cached.chain != nil {
		o.Through, asked = w.cached.chain, w.cached.chain.IDs()
		o.Blobs = noted{w.blobs, w.cached}
	}
	face = w.cached.netcache.over(node.New(o))
	if w.cached.entries != nil {
		face = below(mirror.CachePath+"/", w.cached.entries, face)
	}
	face = httpx.Over(id, asked, face)
	if w.cached.handler != nil {
		plain = httpx.Over(id, asked, w.cached.handler)
	}
	return face, plain
}

// below serves paths that begin with prefix by h, and the others by next. Paths are compared as they are sent.
func below(prefix string, h, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.EscapedPath(), prefix) {
			h.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// signs reports whether the site's own metadata is what it serves: it is not a mirror of another's.
func (w *wire) signs() bool {
	if w.cached == nil || w.cached.chain == nil {
		return true
	}
	return signs(w.dir)
}

// signs reports whether there is signed metadata in the site's directory dir.
func signs(dir string) bool {
	_, err := os.Stat(filepath.Join(home.Trust.In(dir), "timestamp.json"))
	return !errors.Is(err, fs.ErrNotExist)
}

// Metadata returns the site's own metadata, or, when it has none, what upstream sites have.
func (w *wire) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	if w.signs() {
		return trust.DirSource(home.Trust.In(w.dir)).Metadata(ctx, name, limit)
	}
	return w.cached.chain.Metadata(ctx, name, limit)
}

// noted is the depot of a site that evicts what it fetched through: each use counts.
type noted struct {
	store.Opener
	cached *cached
}

// Open opens blob d.
func (n noted) Open(ctx context.Context, d digest.Digest) (store.Blob, error) {
	b, err := n.Opener.Open(ctx, d)
	if err == nil {
		n.cached.keeper.Used(passed, string(d))
	}
	return b, err
}
