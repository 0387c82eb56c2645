package cache

import (
	"context"

	"overland/internal/record"
)

// sight is what a request sees: the newest versions, or those of a freeze.
type sight struct {
	freeze string // "" = the newest
	have   record.Lookup
}

func (s sight) resolve(ctx context.Context, p record.Protocol, it record.Item) (record.Item, error) {
	if r, ok := p.(record.Lister); ok {
		return r.Resolve(ctx, it, s.have)
	}
	return it, nil
}
