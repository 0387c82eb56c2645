package cache

import (
	"context"

	"overland/internal/record"
)

// Resolver is a Protocol in which what a name stands for depends on what is held of the same protocol: an index that a
// signed list names by its digest is that content, whatever the origin has under the name today. Resolve returns the
// Item to give in place of it, which may be it itself; have opens what the one who asks sees.
type Resolver interface {
	Resolve(ctx context.Context, it record.Item, have record.Lookup) (record.Item, error)
}

// sight is what a request sees of what is held: the newest, or a freeze.
type sight struct {
	freeze string // "" = the newest
	have   record.Lookup
}

func (s sight) resolve(ctx context.Context, p record.Protocol, it record.Item) (record.Item, error) {
	if r, ok := p.(Resolver); ok {
		return r.Resolve(ctx, it, s.have)
	}
	return it, nil
}
