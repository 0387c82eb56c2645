package site

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"overland/internal/digest"
	"overland/internal/home"
	"overland/internal/mirror"
	"overland/internal/store"
	"overland/internal/trust"
)

const passed = "blob" // in the cache's index: blobs that were fetched through for nodes

// metadata is the signed metadata that a site serves: its own, or, when it has
// none, that of its upstream sites.
type metadata struct {
	dir   string
	chain *mirror.Chain // nil = no upstream sites
}

// own reports whether the site's own metadata is what it serves: it is not a mirror of another's.
func (m metadata) own() bool { return m.chain == nil || signs(m.dir) }

// signs reports whether there is signed metadata in the site's directory dir.
func signs(dir string) bool {
	_, err := os.Stat(filepath.Join(home.Trust.In(dir), "timestamp.json"))
	return !errors.Is(err, fs.ErrNotExist)
}

// Metadata implements node.Metadata.
func (m metadata) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	if m.own() {
		return trust.DirSource(home.Trust.In(m.dir)).Metadata(ctx, name, limit)
	}
	return m.chain.Metadata(ctx, name, limit)
}

// noted is the depot of a site with eviction: it notes each use of a blob, so
// that the least used ones go first.
type noted struct {
	store.Opener
	cached *cached
}

// Open opens blob d.
func (n noted) Open(ctx context.Context, d digest.Digest) (store.Blob, error) {
	b, err := n.Opener.Open(ctx, d)
	if err == nil {
		n.cached.cache.Used(passed, string(d))
	}
	return b, err
}
