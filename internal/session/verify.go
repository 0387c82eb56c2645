package session

import (
	"context"

	"overland/internal/ecosystem/plain"
	"overland/internal/record"
)

// Verify returns the entries of o.Lock that do not hold: see record.Verify. It uses only o.Store,
// o.Lock and o.Pins, and no network.
func Verify(ctx context.Context, o Options) ([]error, error) {
	r := record.NewReplayer(o.Store, o.Lock)
	s := &session{o: o, getter: r}
	if err := s.openTools(ctx); err != nil {
		return nil, err
	}
	return record.Verify(ctx, r, append(s.protocols(), plain.Protocol{Pins: o.Pins})...), nil
}
