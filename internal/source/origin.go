package source

import (
	"context"
	"errors"
	"strings"
)

// Origin returns the URL that the repository was cloned from, as it is configured, or
// its folder when there is none.
func (r *Repo) Origin(ctx context.Context) (string, error) {
	const limit = 64 << 10
	out, err := output(ctx, r.dir, limit, nil, "config", "--get", "remote.origin.url")
	if said := (*gitError)(nil); errors.As(err, &said) {
		return r.dir, nil
	}
	return strings.TrimSpace(string(out)), err
}
