package stage

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/release"
	"overland/internal/trust"
)

// Source is where releases come from: an open volume, a directory, a
// site. It is trusted for nothing.
type Source interface {
	Name() string
	Open(ctx context.Context, d digest.Digest, off int64) (rc io.ReadCloser, size int64, err error)
	trust.MetadataSource
}

// live reports whether src can be asked whether there is newer metadata now. The expiry of
// others is checked against the time at which they were sealed.
func live(src Source) bool {
	if l, ok := src.(interface{ Live() bool }); ok {
		return l.Live()
	}
	_, ok := src.(*fetch.SiteSource)
	return ok
}

// OfferedRoot returns the fingerprint of the newest root that src offers, for a person
// to compare. It is not trusted.
func OfferedRoot(ctx context.Context, src Source) (trust.Fingerprint, error) {
	var newest []byte
	for b, err := range trust.Roots(ctx, src, 1) {
		if err != nil {
			return "", fmt.Errorf("%s: read root: %w", src.Name(), err)
		}
		newest = b
	}
	if newest == nil {
		return "", errs.Errorf(errs.NotFound, "%s: offers no root of trust", src.Name())
	}
	return trust.FingerprintOf(newest)
}

// onlyChannel returns the one channel whose metadata src carries.
func onlyChannel(src Source) (string, error) {
	var found []string
	if l, ok := src.(interface{ MetadataNames() []string }); ok {
		for _, name := range l.MetadataNames() {
			if c := release.MetadataChannel(name); c != "" && !slices.Contains(found, string(c)) {
				found = append(found, string(c))
			}
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", errs.Hint(errs.Errorf(errs.Invalid, "%s: the channel to follow is not known", src.Name()), "name it: --channel live")
	}
	return "", errs.Hint(errs.Errorf(errs.Invalid, "%s: carries several channels: %s", src.Name(), strings.Join(found, ", ")),
		"name the one to follow: --channel %s", found[0])
}
