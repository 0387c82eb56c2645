package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"overland/internal/errs"
)

// Fetch returns the file name of src. Whatever src does, no more than limit bytes are used.
func Fetch(ctx context.Context, src MetadataSource, name string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := src.Metadata(ctx, name, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, errs.Errorf(errs.Untrusted, "%s: %w (%d bytes)", name, ErrTooLarge, limit)
	}
	return b, nil
}

// Roots returns what src has of the root versions from first on, none of it verified. It ends before
// the first version that src does not have, with an error of src, or after MaxRoots versions with
// one that wraps ErrTooMany: a source can send roots that nobody signed without end.
func Roots(ctx context.Context, src MetadataSource, first int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for v := first; v < first+MaxRoots; v++ {
			b, err := Fetch(ctx, src, WireName("root", v), MaxRoot)
			if errors.Is(err, fs.ErrNotExist) {
				return // a source carries every root from the first
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
		yield(nil, errs.Errorf(errs.Untrusted, "%w: more than %d versions of root", ErrTooMany, MaxRoots))
	}
}
