package site

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"overland/internal/cache"
	"overland/internal/db"
	"overland/internal/db/sqlite"
	"overland/internal/errs"
	"overland/internal/home"
	storedir "overland/internal/store/dir"
)

// openFacts opens the database of the site in dir, which makes it when it is missing.
func openFacts(ctx context.Context, dir string) (*db.DB, error) {
	return sqlite.Open(ctx, home.Database.In(dir))
}

// facts are a site's facts in the words of its cache.
type facts struct{ *db.DB }

func (f facts) Freezes(ctx context.Context) ([]cache.Freeze, error) {
	rows, err := f.DB.Freezes(ctx)
	var list []cache.Freeze
	for _, r := range rows {
		list = append(list, cache.Freeze(r))
	}
	return list, err
}

func (f facts) Freeze(ctx context.Context, name string) (cache.Freeze, error) {
	r, err := f.DB.Freeze(ctx, name)
	if errs.KindOf(err) == errs.NotFound {
		err = errs.Errorf(errs.NotFound, "there is no freeze %.80q", name)
	}
	return cache.Freeze(r), err
}

func (f facts) AddFreeze(ctx context.Context, z cache.Freeze) error {
	return f.DB.AddFreeze(ctx, db.Freeze(z))
}

// Cache is the cache of a site that is opened to change its settings; a
// running site sees the changes.
type Cache struct {
	*cache.Cache
	facts *db.DB
}

// Close closes the cache and its facts.
func (c *Cache) Close() error { return errors.Join(c.Cache.Close(), c.facts.Close()) }

// OpenCache opens the cache of the site in dir, and makes it when the site has
// none yet. The caller closes it.
func OpenCache(ctx context.Context, dir string) (_ *Cache, err error) {
	if err := refuseOther(dir); err != nil {
		return nil, err
	}
	blobs, err := storedir.Open(home.Depot.In(dir), storedir.Options{})
	if err != nil {
		return nil, err
	}
	known, err := openFacts(ctx, dir)
	if err != nil {
		return nil, err
	}
	c, err := cache.Open(ctx, home.Cache.In(dir), blobs, cache.Options{Facts: facts{known}})
	if err != nil {
		return nil, errors.Join(err, known.Close())
	}
	return &Cache{c, known}, nil
}

// LookCache is OpenCache for a caller that changes nothing: that the site never had a
// cache is an error of kind NotFound.
func LookCache(ctx context.Context, dir string) (*Cache, error) {
	if err := refuseOther(dir); err != nil {
		return nil, err
	}
	for _, p := range []home.Place{home.Database, home.CacheIndex} { // either may be missing: the index is disposable
		if _, err := os.Stat(p.In(dir)); !errors.Is(err, fs.ErrNotExist) {
			return OpenCache(ctx, dir)
		}
	}
	return nil, errs.Hint(errs.Errorf(errs.NotFound, "the site in %s has no cache yet", dir), "overland site run %s --cache-listen ADDR", dir)
}
