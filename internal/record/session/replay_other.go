//go:build !linux

package session

import (
	"context"

	"overland/internal/errs"
)

// Verb is the hidden verb of the program that calls Inside with what follows it.
const Verb = "inside"

// Replay is for Linux: it needs a network namespace.
func Replay(context.Context, Options) (*Result, error) {
	return nil, errs.Hint(errs.Errorf(errs.Invalid, "a replay needs a network namespace"), "run it on Linux")
}

// Inside is for Linux.
func Inside(context.Context, []string) error {
	return errs.Errorf(errs.Invalid, "a replay needs a network namespace")
}
