package record

import (
	"context"
	"fmt"
	"net/http"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
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
type MissError struct {
	Protocol, Key string
	Otherwise     bool // its key was, but with another header
}

// HTTPStatus returns the status that clients get: not 404, which they take for a fact, and not 5xx,
// which they retry.
func (*MissError) HTTPStatus() int { return http.StatusFailedDependency }

func (e *MissError) Error() string {
	text := fmt.Sprintf("never recorded: %s %s", e.Protocol, e.Key)
	if e.Otherwise {
		text += " with these header fields (see \"asked\" in the lock)"
	}
	return text
}

// RefusedError is a request that cannot be recorded or replayed: its client got another answer than
// it would have without us, so the session fails, whatever the client made of it.
type RefusedError struct {
	Protocol, Request string // "PUT https://…", without secrets
	Err               error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refused: %s %s: %v", e.Protocol, e.Request, e.Err)
}

// Unwrap returns the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// Refuser is a Getter that names in the end what was refused before it was asked.
type Refuser interface {
	Refuse(err *RefusedError)
}

// Refuse answers r with err, and tells g of it, if that is a Refuser.
func Refuse(w http.ResponseWriter, r *http.Request, g Getter, protocol string, err error) {
	if to, ok := g.(Refuser); ok {
		to.Refuse(&RefusedError{protocol, Short(r.Method, httpx.RedactedURL(r.URL)), err})
	}
	httpx.Errors{}.Write(w, r, err)
}

// Short returns a request for a person: neither a method nor an address need end.
func Short(method, address string) string {
	const most = 300
	if len(address) > most {
		address = address[:most] + "…"
	}
	return fmt.Sprintf("%.20s %s", method, address)
}

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
func miss(it Item, otherwise bool) error {
	return errs.Hint(errs.E(errs.Unavailable, &MissError{it.Protocol, it.Key, otherwise}),
		"run it once with a network: overland record -- CMD")
}
