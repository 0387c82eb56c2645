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

// Live reports whether src can be asked whether there is newer metadata now. The expiry of
// others is checked against the time at which they were sealed.
func Live(src Source) bool {
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

// OfferedChannels returns the channels whose metadata src says that it carries, sorted. It is
// trusted for nothing: the bearer of a file does not choose what a machine follows.
func OfferedChannels(src Source) []string {
	var found []string
	if l, ok := src.(interface{ MetadataNames() []string }); ok {
		for _, name := range l.MetadataNames() {
			if c := release.MetadataChannel(name); c != "" && !slices.Contains(found, string(c)) {
				found = append(found, string(c))
			}
		}
	}
	slices.Sort(found)
	return found
}

// OtherChannel refuses a source that says it has nothing of channel: nothing of it would be installed,
// and a person would believe that it was. It is nil for one that does not say.
func OtherChannel(src Source, channel string) error {
	offered := OfferedChannels(src)
	if len(offered) == 0 || slices.Contains(offered, channel) {
		return nil
	}
	return errs.Hint(errs.Errorf(errs.Conflict, "%s is for channel %s, and this machine is to follow %s", src.Name(), strings.Join(offered, ", "), channel),
		"--channel %s --switch-channel makes it follow that from now on, and stops what that does not name", offered[0])
}

// WithoutChannel returns the error that nobody has said which channel the node follows.
func WithoutChannel(src Source) error {
	hint := "give it as its operator does, beside the fingerprint: --channel NAME"
	if offered := OfferedChannels(src); len(offered) > 0 {
		hint += " (" + src.Name() + " says that it is for " + strings.Join(offered, ", ") + ")"
	}
	return errs.Hint(errs.Errorf(errs.Untrusted, "%s: which channel this machine follows is not for the source to say", src.Name()), "%s", hint)
}
