package record

import (
	"context"
	"fmt"
	"net/http"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/store"
)

// Getter answers requests: from what it holds, else from upstream, with one transfer for all
// callers at the same time. The caller closes the blob, which is nil when the entry says that the
// thing does not exist. A Recorder, a Replayer and a site's cache are Getters.
type Getter interface {
	Get(ctx context.Context, p Protocol, it Item) (lockfile.Entry, store.Blob, error)
}

// MissError is a request in a replay that was never recorded.
type MissError struct{ Protocol, Key string }

// HTTPStatus returns the status that clients get: not 404, which they take for a fact, and not 5xx,
// which they retry.
func (*MissError) HTTPStatus() int { return http.StatusFailedDependency }

func (e *MissError) Error() string { return fmt.Sprintf("never recorded: %s %s", e.Protocol, e.Key) }

// ChangedError is content that is not what the lock holds for the
// same request. Nothing is replaced.
type ChangedError struct {
	Protocol, Key string
	Upstream      string
	Locked        digest.Digest
	Got           digest.Digest
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s %s changed: locked %s, upstream %s now has %s", e.Protocol, e.Key, e.Locked, e.Upstream, e.Got)
}

// miss returns the error of a request that was never recorded.
func miss(it Item) error {
	return errs.Hint(errs.E(errs.Unavailable, &MissError{it.Protocol, it.Key}),
		"run it once with a network: overland record -- CMD")
}
