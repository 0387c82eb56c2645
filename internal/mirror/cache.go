package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"overland/internal/cache"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/httpx"
	"overland/internal/store"
)

// CachePath is where a site says what its cache holds: below it PROTOCOL/KEY.
const CachePath = "/v1/cache"

var _ cache.Near = (*Chain)(nil)

// Find implements cache.Near: a site says which blob it holds, and the blob comes as any other.
func (c *Chain) Find(ctx context.Context, protocol, key string, limit int64, heard func()) (cache.Found, bool, error) {
	var failed error
	for _, s := range c.sites {
		if c.down.Has(s) {
			continue
		}
		f, brought, err := c.findAt(ctx, s, protocol, key, limit, heard)
		if err == nil {
			return f, brought, nil
		}
		if ctx.Err() != nil {
			return f, false, ctx.Err()
		}
		if errs.KindOf(err) != errs.NotFound {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.Name(), err))
		}
	}
	if failed != nil {
		return cache.Found{}, false, errs.E(errs.KindOf(failed), failed)
	}
	return cache.Found{}, false, errs.Errorf(errs.NotFound, "%s %s: no upstream site has it", protocol, key)
}

func (c *Chain) findAt(ctx context.Context, s *fetch.SiteSource, protocol, key string, limit int64, heard func()) (f cache.Found, brought bool, err error) {
	b, err := s.Ask(ctx, CachePath+"/"+protocol+"/"+url.PathEscape(key), cache.FoundLimit, heard)
	if err == nil {
		f, err = cache.ParseFound(b)
	} else if errs.KindOf(err) == errs.Unavailable && !errors.Is(err, httpx.ErrAnswer) {
		c.down.Set(s, c.o.Down)
	}
	if err == nil && f.Size > limit {
		err = errs.Errorf(errs.Unavailable, "a blob of %d bytes, at most %d are taken", f.Size, limit)
	}
	if err != nil {
		return f, false, err
	}
	there, err := store.Has(ctx, c.depot, f.Blob)
	if err != nil {
		return f, false, err
	}
	return f, !there, c.bring(ctx, fetch.Blob{Digest: f.Blob, Size: f.Size, Else: true}, heard)
}

// bring fetches a blob that is counted under another name than its own.
func (c *Chain) bring(ctx context.Context, b fetch.Blob, heard func()) error {
	call, _ := c.join(ctx, b)
	call.Listen(heard)
	_, err := call.Wait(ctx)
	return err
}
