package fsx

import (
	"errors"
	"fmt"
	"math"

	"overland/internal/errs"
)

// ErrNoRoom is wrapped by the error of Room.
var ErrNoRoom = errors.New("not enough space")

// Full returns err with the kind (errs.Unavailable) and the hint of a full disk when it is one and
// has no hint yet, and else err itself. With Room it is the one place where a person is told that a
// disk is full.
func Full(err error) error {
	if !IsFull(err) || errs.HintOf(err) != "" {
		return err
	}
	return errs.Hint(errs.E(errs.Unavailable, err), "free some space on that disk and run it again")
}

// Room returns an error (errs.Unavailable) that wraps ErrNoRoom when the disk of dir cannot take n
// more bytes and keep reserve free. Call it before work that would fail after hours. n may be what
// somebody else says: any number.
func Room(dir string, n, reserve int64) error {
	free, err := Free(dir)
	if err != nil {
		return err
	}
	if n <= free-reserve { // n+reserve may be more than an int64 holds
		return nil
	}
	if n += reserve; n < reserve {
		n = math.MaxInt64
	}
	err = fmt.Errorf("%s: %w: %d bytes free, %d needed", dir, ErrNoRoom, free, n)
	return errs.Hint(errs.E(errs.Unavailable, err), "free at least %d MiB on that disk and run it again", (n-free)>>20+1)
}
