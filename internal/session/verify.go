package session

import (
	"context"

	"overland/internal/ecosystem/plain"
	"overland/internal/record"
)

// Verify returns what does not hold of o.Lock: see record.Verify. Of o only Store, Lock and Pins are used; no network is.
func Verify(ctx context.Context, o Options) ([]error, error) {
	r := record.NewReplayer(o.Store, o.Lock)
	s := &session{o: o, getter: r}
	if err := s.openTools(ctx); err != nil {
		return nil, err
	}
	return record.Verify(ctx, r, append(s.protocols(), plain.Protocol{Pins: o.Pins})...), nil
}
