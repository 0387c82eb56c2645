package cache

import (
	"context"

	"overland/internal/digest"
	"overland/internal/lockfile"
)

// Hold adds a blob that somebody else put into the depot to what the cache holds, so that it is
// evicted like an answer. protocol and key are a name for it that no Protocol uses.
func (c *Cache) Hold(ctx context.Context, protocol, key string, d digest.Digest, size int64) error {
	c.gate.RLock()
	defer c.gate.RUnlock()
	now := c.now()
	_, err := c.index.add(ctx, version{
		id: id{protocol, key}, fetched: now, checked: now, used: now, own: true, blob: d, size: size,
		media: "application/octet-stream", proof: lockfile.Proof{Kind: "sha256", Value: d.Encoded()},
	})
	return err
}

// Used notes that what Hold added under protocol and key was used. Other names are ignored.
func (c *Cache) Used(protocol, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[id{protocol, key}] = c.now()
}

// Holds reports whether blob d is what the cache holds for something of protocol, and for something of another one.
func (c *Cache) Holds(ctx context.Context, d digest.Digest, protocol string) (of, other bool, err error) {
	return c.index.holdsOf(ctx, d, protocol)
}
