package cache

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
)

// Near is where an answer may be found that is nearer than its origin, or outlives
// it: the caches of other sites.
type Near interface {
	// Find returns what the first cache that has key holds for it, with the blob, of at most
	// limit bytes, in the depot. brought reports whether this call put the blob there. heard
	// is called while bytes arrive. The blob's digest is verified, and nothing else.
	// errs.NotFound when no cache has it.
	Find(ctx context.Context, protocol, key string, limit int64, heard func()) (f Found, brought bool, err error)
}

// FoundLimit is the largest JSON form of a Found, in bytes.
const FoundLimit = 16 << 10

// Found says what a cache holds for a key, in the form that sites exchange (docs/format/site.md).
type Found struct {
	Blob      digest.Digest `json:"blob"`
	Size      int64         `json:"size"` // bytes
	MediaType string        `json:"mediaType"`
	ETag      string        `json:"etag,omitempty"` // the origin's
	Modified  string        `json:"modified,omitempty"`
}

// ParseFound reads the JSON form of a Found. Its errors are errs.Unavailable: another
// site may have a better answer.
func ParseFound(b []byte) (Found, error) {
	var f Found
	err := json.Unmarshal(b, &f)
	if err == nil {
		_, err = digest.Parse(string(f.Blob))
	}
	if err == nil && (len(b) > FoundLimit || f.Size < 0 || strings.ContainsAny(f.MediaType+f.ETag+f.Modified, "\r\n")) {
		err = errors.New("not the blob and size of an answer")
	}
	if err != nil {
		return Found{}, errs.Errorf(errs.Unavailable, "what a cache holds: %w", err)
	}
	return f, nil
}

// near delivers a near copy to the waiters of call, once the protocol has proved it. ok is
// false when there is no such copy.
func (c *Cache) near(ctx context.Context, call *call, q *record.Acquisition, old version) (got answer, ok bool) {
	it := q.Item
	if c.o.Near == nil || it.Method != "" {
		return answer{}, false
	}
	f, brought, err := c.o.Near.Find(ctx, it.Protocol, it.Key, cmp.Or(it.Limit, origin.DefaultLimit), func() { call.Add(1) })
	if err == nil {
		q.Keep = func(ctx context.Context, in *record.Arrival) error {
			v := c.version(in.Entry)
			v.own, v.etag, v.modified = brought, f.ETag, f.Modified
			v, err := c.adopt(ctx, v)
			if err == nil {
				got, ok = c.hit(v), true
				call.Deliver(got, nil)
			}
			return err
		}
		if err = c.offer(ctx, q, old, f); err == nil {
			return got, ok
		}
		if brought {
			err = errors.Join(err, c.disown(ctx, f.Blob))
		}
	}
	switch errs.KindOf(err) {
	case errs.NotFound, errs.Cancelled:
	default:
		c.o.Log.Warn("a near copy is not used", "protocol", it.Protocol, "key", it.Key, "error", err)
	}
	return answer{}, false
}

// offer has q adopt the blob of f, which is in the depot.
func (c *Cache) offer(ctx context.Context, q *record.Acquisition, old version, f Found) error {
	if err := (version{blob: f.Blob}).follows(old, q.Item, "an upstream site"); err != nil {
		return err
	}
	b, err := c.store.Open(ctx, f.Blob)
	if err != nil {
		return err
	}
	defer b.Close()
	if b.Size() != f.Size {
		return errs.Errorf(errs.Untrusted, "%d bytes; the site said %d", b.Size(), f.Size)
	}
	return q.Adopt(ctx, b, f.Blob, f.MediaType)
}

// adopt makes v, whose blob is in the depot, the newest version of its answer.
func (c *Cache) adopt(ctx context.Context, v version) (version, error) {
	c.gate.RLock()
	defer c.gate.RUnlock()
	if there, err := store.Has(ctx, c.store, v.blob); err != nil {
		return v, err
	} else if !there {
		return v, errs.Errorf(errs.Unavailable, "%s was evicted meanwhile", v.blob)
	}
	return c.index.add(ctx, v)
}

// disown removes a blob that was brought for an answer but failed its proof, unless
// it is needed for something else.
func (c *Cache) disown(ctx context.Context, d digest.Digest) error {
	asked := time.Now()
	roots, err := c.roots(ctx)
	if err != nil || roots[d] {
		return err
	}
	c.gate.Lock()
	defer c.gate.Unlock()
	used, err := c.index.holds(ctx, d)
	if err != nil || used {
		return err
	}
	_, err = c.store.Retire(d, asked)
	return err
}

// Find returns what the cache holds for it, in the form for other sites, and fetches it first if
// necessary.
func (c *Cache) Find(ctx context.Context, p record.Protocol, it record.Item) (Found, error) {
	seen := sight{have: c.lookup(it.Protocol)}
	it, err := seen.resolve(ctx, p, it)
	if err != nil {
		return Found{}, err
	}
	a, b, err := c.get(ctx, p, it, seen)
	if b != nil {
		err = b.Close()
	}
	switch {
	case err != nil:
		return Found{}, err
	case !a.entry.Exists():
		return Found{}, errs.Errorf(errs.NotFound, "%s %s: upstream does not have it", it.Protocol, it.Key)
	}
	return Found{a.entry.Blob, a.entry.Size, a.entry.MediaType, a.version.etag, a.version.modified}, nil
}
