package runtime

import (
	"context"
	"io"
)

// Tail returns the last n lines of the log path.
func Tail(path string, n int) ([]string, error) { return nil, nil }

// Follow copies what is appended to the log path from offset off (bytes; -1 = its end) to w until ctx ends, through rotations.
func Follow(ctx context.Context, path string, off int64, w io.Writer) error { return nil }
