package record

import (
	"context"
	"fmt"

	"overland/internal/errs"
	"overland/internal/store"
)

// Verify reads every blob of l in s and returns what does not hold, one error for each entry. For entries of protocols,
// the proof is computed again and its value compared.
func Verify(ctx context.Context, s *store.Store, l *Lock, protocols ...Protocol) []error {
	byName := map[string]Protocol{}
	for _, p := range protocols {
		byName[p.Name()] = p
	}
	var bad []error
	for _, e := range l.Entries {
		if ctx.Err() != nil {
			return append(bad, ctx.Err())
		}
		if !e.Exists() {
			continue
		}
		if err := verify(ctx, s, e, byName[e.Protocol]); err != nil {
			bad = append(bad, fmt.Errorf("%s %s: %w", e.Protocol, e.Key, err))
		}
	}
	return bad
}

func verify(ctx context.Context, s *store.Store, e Entry, p Protocol) error {
	if err := s.Verify(ctx, e.Blob); err != nil {
		return err
	}
	if p == nil {
		return nil
	}
	b, err := s.Open(e.Blob)
	if err != nil {
		return err
	}
	defer b.Close()
	if b.Size() != e.Size {
		return errs.Errorf(errs.Untrusted, "has %d bytes, locked are %d", b.Size(), e.Size)
	}
	proof, err := p.Check(ctx, Item{Protocol: e.Protocol, Key: e.Key}, b.File, nil)
	if err == nil && proof.Value != e.Proof.Value {
		err = errs.Errorf(errs.Untrusted, "has the proof %q, locked is %q", proof.Value, e.Proof.Value)
	}
	return err
}
