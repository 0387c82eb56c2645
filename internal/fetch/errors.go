package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

var (
	// ErrNoRange is returned by Source.Open when the source can send
	// the blob only from its beginning.
	ErrNoRange = errors.New("cannot start in the middle of a blob")
	// ErrShort means that a source ended before the blob did.
	ErrShort = errors.New("ended too early")
)

// SourceError is what went wrong between one source and one blob.
type SourceError struct {
	Source string
	Digest digest.Digest
	Err    error
}

func (e *SourceError) Error() string { return e.Source + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// lostError is the end of a call that has no source left: one
// *SourceError each, on one line for people.
type lostError struct {
	digest digest.Digest
	errs   []error
}

func (l *lostError) Error() string {
	if len(l.errs) == 0 {
		return fmt.Sprintf("fetch %s: no source to ask", l.digest)
	}
	text := make([]string, len(l.errs))
	for i, err := range l.errs {
		text[i] = err.Error()
	}
	return fmt.Sprintf("fetch %s: %s", l.digest, strings.Join(text, "; "))
}

func (l *lostError) Unwrap() []error { return l.errs }

// diskError marks an error of our own disk: no other source would help.
type diskError struct{ err error }

func (e *diskError) Error() string { return e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

// outcome is what an attempt's error means for its source.
type outcome int

const (
	transient outcome = iota // may work later
	missing                  // it does not have the blob
	lied                     // it sent other bytes
	useless                  // asking again in this call is of no use
	noRange                  // only from the beginning
	ours                     // the caller's end, or our disk's
)

func classify(ctx context.Context, err error) outcome {
	var disk *diskError
	switch {
	case ctx.Err() != nil, errors.As(err, &disk):
		return ours
	case errors.Is(err, digest.ErrMismatch):
		return lied
	case errors.Is(err, ErrNoRange):
		return noRange
	case errors.Is(err, fs.ErrNotExist), errs.KindOf(err) == errs.NotFound:
		return missing
	case errs.KindOf(err) == errs.Untrusted, errs.KindOf(err) == errs.Denied, errs.KindOf(err) == errs.Invalid:
		return useless
	}
	return transient
}

// explainDisk returns the error that the caller sees when our own disk refused bytes of d.
func explainDisk(d digest.Digest, err error) error {
	return fsx.Full(fmt.Errorf("fetch %s: %w", d, err))
}
