package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/store"
)

// View is the cache as of a freeze. Once it has served something, it serves the same for as long as
// the freeze exists, and eviction keeps it.
type View struct {
	c    *Cache
	name string
}

// View returns the cache as of the freeze name, which need not exist yet.
func (c *Cache) View(name string) *View { return &View{c, name} }

// Get implements record.Getter. For what can change it returns the version that the cache
// had at the freeze's moment. What the cache did not have then is fetched when first
// requested, provided that the freeze was made for "now" and that it fits what is frozen
// already; else it is errs.NotFound.
func (w *View) Get(ctx context.Context, p record.Protocol, it record.Item) (lockfile.Entry, store.Blob, error) {
	f, err := w.c.freeze(ctx, w.name)
	if err != nil {
		return lockfile.Entry{}, nil, err
	}
	seen := sight{w.name, w.lookup(f, it.Protocol)}
	if it, err = seen.resolve(ctx, p, it); err != nil {
		return lockfile.Entry{}, nil, err
	}
	if it.Mutable {
		v, ok, err := w.c.index.frozen(ctx, f, id{it.Protocol, it.Key})
		if err != nil {
			return lockfile.Entry{}, nil, err
		}
		if ok {
			return w.frozen(ctx, f, v)
		}
		if w.c.Emptied(f) {
			return lockfile.Entry{}, nil, errs.Errorf(errs.NotFound, "%s %s: freeze %s: the cache was removed after the freeze was made, "+
				"and with it what the freeze held", it.Protocol, it.Key, f.Name)
		}
		if f.At.Before(f.Made) {
			return lockfile.Entry{}, nil, errs.Errorf(errs.NotFound, "%s %s: freeze %s: the cache did not have it on %s",
				it.Protocol, it.Key, f.Name, f.At.UTC().Format(time.RFC3339))
		}
	}
	if it.Mutable {
		ctx = record.Whole(ctx)                     // the freeze may have another version by then
		seen = sight{have: w.c.lookup(it.Protocol)} // it becomes the newest for everybody, and is first checked as that
	}
	a, b, err := w.c.get(ctx, p, it, seen)
	if err != nil || !a.entry.Exists() {
		return a.entry, b, err
	}
	if it.Mutable {
		// It is newer than what is frozen already: check that they still belong together.
		if _, err := p.Check(ctx, it, b, w.lookup(f, it.Protocol)); err != nil {
			return lockfile.Entry{}, nil, errors.Join(fmt.Errorf("%s %s: does not fit freeze %s: %w", it.Protocol, it.Key, f.Name, err), b.Close())
		}
	}
	b.Close()
	return w.frozen(ctx, f, a.version)
}

// frozen pins v in f, unless f already has a version of the answer, and opens the pinned one.
func (w *View) frozen(ctx context.Context, f Freeze, v version) (lockfile.Entry, store.Blob, error) {
	v, err := w.c.index.pin(ctx, f, v)
	if err != nil {
		return lockfile.Entry{}, nil, err
	}
	b, err := w.c.store.Open(ctx, v.blob)
	if err != nil {
		return lockfile.Entry{}, nil, errs.E(errs.Unavailable, fmt.Errorf("%s %s: freeze %s: %w", v.protocol, v.key, f.Name, err))
	}
	return w.c.hit(v).entry, b, nil
}

func (w *View) lookup(f Freeze, protocol string) record.Lookup {
	return func(ctx context.Context, key string) (io.ReadCloser, error) {
		v, ok, err := w.c.index.frozen(ctx, f, id{protocol, key})
		if err == nil && !ok {
			return w.c.lookup(protocol)(ctx, key)
		}
		return w.c.openVersion(ctx, v, ok, protocol, key, err)
	}
}
