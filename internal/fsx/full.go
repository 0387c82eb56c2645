package fsx

import "overland/internal/errs"

// Full returns err with the kind (errs.Unavailable) and the hint of a full disk when it is one that has no hint yet,
// and else err itself: the one place where a person is told that a disk is full.
func Full(err error) error {
	if !IsFull(err) || errs.HintOf(err) != "" {
		return err
	}
	return errs.Hint(errs.E(errs.Unavailable, err), "free some space on that disk and run it again: what is there already is kept")
}
