package runtime

import (
	"time"
)

// Rotation is when a log is rotated. The zero value is 10 MiB × 3.
type Rotation struct {
	Size int64 // bytes after which the log is moved to LOG.1; 0 = 10 MiB
	Keep int   // how many of LOG.1, LOG.2, … are kept; 0 = 3
}

// Rotate moves the content of the log path to path.1 when it is longer than r.Size, and reports whether it did.
func Rotate(path string, r Rotation) (bool, error) { return false, nil }

type rotator struct {
	path string
	rot  Rotation
	wait time.Duration
}

func newRotator(path string, r Rotation) *rotator {
	return &rotator{path: path, rot: r, wait: 30 * time.Second}
}

func (r *rotator) check() error {
	_, err := Rotate(r.path, r.rot)
	return err
}
