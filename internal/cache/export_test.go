package cache

import (
	"context"

	"overland/internal/digest"
)

// What the tests know of the inside: limits, calls under way, and rows of the index.
const (
	Downtime   = downtime
	KeepNewest = keepNewest
	Recent     = recent
)

// Calls returns how many requests to upstream are under way.
func (c *Cache) Calls() int { return c.calls.Len() }

// Waiters returns how many wait for the request for key that is under way; 0 when there is none.
func (c *Cache) Waiters(protocol, key string) int {
	call := c.calls.Find(asked{id: id{protocol, key}})
	if call == nil {
		return 0
	}
	return call.Waiters()
}

// Row is a version in the index.
type Row struct {
	Key  string
	Blob digest.Digest
	Size int64
	Held bool
}

// Rows returns all versions in the index.
func (c *Cache) Rows(ctx context.Context) (rows []Row, _ error) {
	list, err := c.index.list(ctx, "SELECT "+columns+" FROM version")
	for _, v := range list {
		rows = append(rows, Row{v.key, v.blob, v.size, v.held})
	}
	return rows, err
}
