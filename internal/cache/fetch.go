package cache

import (
	"context"
	"errors"
	"net/http"
	"time"

	"overland/internal/errs"
	"overland/internal/flight"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
)

// asked identifies a call: what was asked for, and as of which freeze.
type asked struct {
	id
	freeze string
}

// call is one request to upstream, for everybody who waits for it.
type call = flight.Call[answer]

// once returns what upstream has for it, with one request for all callers at the same time. After
// patience, unless that is 0, it returns flight.ErrSlow; the request goes on for later callers.
func (c *Cache) once(ctx context.Context, p record.Protocol, it record.Item, seen sight, old version, patience time.Duration) (answer, error) {
	i := asked{id{it.Protocol, it.Key}, seen.freeze}
	if old.held {
		ctx = record.Whole(ctx) // where it is slow, the client gets the held answer
	}
	call := record.Join(ctx, &c.calls, i, func(ctx context.Context, call *call) (answer, error) {
		ctx, end, err := c.turns.Begin(ctx)
		if err != nil {
			return answer{}, err
		}
		defer end()
		return c.fetch(ctx, call, p, it, seen, old)
	})
	return call.WaitFor(ctx, patience)
}

// revalidate begins to ask upstream for it, of which old is held, unless that is asked already, may not be, or has
// failed lately. Nobody waits for that.
func (c *Cache) revalidate(ctx context.Context, p record.Protocol, it record.Item, seen sight, old version) error {
	offline, err := c.Offline(ctx)
	if err != nil || offline || httpx.OnlyIfCached(ctx) || c.down.Has(host(it)) {
		return err
	}
	call, _ := c.calls.Join(record.Whole(ctx), asked{id{it.Protocol, it.Key}, seen.freeze}, func(ctx context.Context, call *call) (answer, error) {
		a, err := c.fetch(ctx, call, p, it, seen, old)
		if err != nil && ctx.Err() == nil && tolerable(err) {
			c.down.Set(host(it), downtime)
			c.o.Log.Warn("upstream fails: serving a stale answer", "protocol", it.Protocol, "key", it.Key, "error", err)
		}
		return a, err
	})
	call.Keep()
	return nil
}

// fetch asks the near caches for it, then upstream, and delivers the result to the waiters of call.
// old is the newest version known.
func (c *Cache) fetch(ctx context.Context, call *call, p record.Protocol, it record.Item, seen sight, old version) (answer, error) {
	i := id{it.Protocol, it.Key}
	// Another request may have ended after the caller looked.
	if v, ok, err := c.index.newest(ctx, i, forever); err == nil && ok && v.held && v.checked.After(old.checked) &&
		fresh(v.checked, c.now(), c.o.Fresh) {
		if there, err := store.Has(ctx, c.store, v.blob); err != nil {
			return answer{}, err
		} else if there {
			return c.hit(v), nil
		}
	}
	q := &record.Acquisition{Protocol: p, Item: it, Have: seen.have, Where: c.lookup(it.Protocol), Store: c.store}
	if a, ok := c.near(ctx, call, q, old); ok || ctx.Err() != nil {
		return a, ctx.Err()
	}
	q.Get = func(ctx context.Context, r origin.Request) (*origin.Answer, error) {
		r.Heard = func() { call.Add(1) }
		if it.Mutable && old.held {
			r = conditional(r, old.etag)
		}
		return c.o.Upstream.Get(ctx, record.Share(r, call))
	}
	var got answer
	q.Keep = func(ctx context.Context, in *record.Arrival) error {
		v := c.version(in.Entry)
		v.etag, v.modified = in.Header.Get("Etag"), in.Header.Get("Last-Modified")
		if err := v.follows(old, it, in.From); err != nil {
			return err
		}
		v, err := c.keep(ctx, v, in)
		if err == nil {
			got = c.hit(v)
			call.Deliver(got, nil)
		}
		return err
	}
	err := q.Fetch(ctx)
	if status := (*origin.StatusError)(nil); errors.As(err, &status) {
		now := c.now()
		switch {
		case status.Status == http.StatusNotModified && old.held:
			if err := c.index.confirm(ctx, old, now); err != nil {
				return answer{}, err
			}
			return c.hit(old), nil
		case status.Status == http.StatusNotFound, status.Status == http.StatusGone:
			return gone(it, status.Status), c.index.setAbsent(ctx, i, status.Status, now.Add(c.o.Absent))
		}
	}
	return got, err
}

// version returns e, which has just arrived, as a version.
func (c *Cache) version(e lockfile.Entry) version {
	now := c.now()
	return version{
		id: id{e.Protocol, e.Key}, fetched: now, checked: now, used: now, mutable: e.Mutable, blob: e.Blob, size: e.Size,
		media: e.MediaType, proof: e.Proof,
	}
}

// keep stores what arrived as version v.
func (c *Cache) keep(ctx context.Context, v version, in *record.Arrival) (version, error) {
	c.gate.RLock()
	defer c.gate.RUnlock()
	there, err := store.Has(ctx, c.store, v.blob)
	if err != nil {
		return v, err
	}
	v.own = !there
	if c.o.Coming != nil {
		if err := c.o.Coming(ctx, v.protocol, v.blob); err != nil {
			return v, err
		}
	}
	if err := in.Commit(ctx); err != nil {
		return v, err
	}
	return c.index.add(ctx, v)
}

// follows returns an error when v, which came from upstream, may not follow old: the bytes of
// something that never changes are different.
func (v version) follows(old version, it record.Item, upstream string) error {
	if old.blob == "" || old.blob == v.blob || it.Mutable {
		return nil
	}
	err := &record.ChangedError{Protocol: it.Protocol, Key: it.Key, Upstream: upstream, Locked: old.blob, Got: v.blob}
	return errs.Hint(errs.E(errs.Conflict, err), "it should never change: somebody replaced it at its origin; nothing was stored")
}

// conditional returns r with If-None-Match for the answer that is held:
// unchanged bytes do not travel again.
func conditional(r origin.Request, etag string) origin.Request {
	if etag == "" || len(r.Fallback) > 0 || r.Method != "" {
		return r
	}
	if r.Header = r.Header.Clone(); r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("If-None-Match", etag)
	return r
}
