package trust

import (
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ErrLifetime is returned for metadata that would be valid for longer than any honest signer asks.
var ErrLifetime = errors.New("valid for longer than is accepted")

const day = 24 * time.Hour

// MaxLifetime returns the longest time from signing to expiry that is accepted of role. What the
// online key signs is short, so that a signature made with a stolen one wears off; what people sign
// is long enough to be signed once in a year or two.
func MaxLifetime(role string) time.Duration {
	switch role {
	case metadata.TIMESTAMP:
		return 31 * day
	case metadata.SNAPSHOT:
		return 90 * day
	case metadata.ROOT:
		return 5 * 366 * day
	}
	return 400 * day
}

// CheckLifetime returns an error that wraps ErrLifetime when metadata of role, with the unrecognised
// signed fields and the expiry expires, is valid for longer than MaxLifetime. now
// is the time if that is known, else zero: what the online key signs may not reach further from now
// either, whenever it says that it was signed, and if it does not say.
func CheckLifetime(role string, fields map[string]any, expires, now time.Time) error {
	signed, err := SignedAt(fields)
	if err != nil {
		return Untrusted(role, err)
	}
	longest := MaxLifetime(role)
	if !signed.IsZero() && expires.Sub(signed) > longest {
		return Untrusted(role, fmt.Errorf("%w: signed at %s, expires at %s, and %d days are the most", ErrLifetime,
			signed.Format(time.RFC3339), expires.Format(time.RFC3339), longest/day))
	}
	online := role == metadata.TIMESTAMP || role == metadata.SNAPSHOT
	if online && !now.IsZero() && expires.Sub(now) > longest {
		return Untrusted(role, fmt.Errorf("%w: it is %s, it expires at %s, and %d days are the most", ErrLifetime,
			now.UTC().Format(time.RFC3339), expires.Format(time.RFC3339), longest/day))
	}
	return nil
}
