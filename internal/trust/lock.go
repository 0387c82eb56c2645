package trust

import (
	"context"
	"errors"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// WaitLock takes the flock on path once its holder is done with it. When ctx ends first
// the error is of kind Conflict.
func WaitLock(ctx context.Context, path string) (*fsx.Lock, error) {
	l, err := fsx.AwaitLock(ctx, path)
	if errors.Is(err, fsx.ErrLocked) {
		return nil, errs.Errorf(errs.Conflict, "another change is under way: %w: %w", err, ctx.Err())
	}
	return l, err
}
