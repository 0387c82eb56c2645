package trust

import (
	"context"
	"errors"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// WaitLock takes the flock on path once its holder is done with it. When ctx ends first
// the error is of kind Conflict.
func WaitLock(ctx context.Context, path string) (*fsx.Lock, error) {
	for {
		l, err := fsx.TryLock(path)
		if err == nil || !errors.Is(err, fsx.ErrLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, errs.Errorf(errs.Conflict, "another change is under way: %w: %w", err, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
