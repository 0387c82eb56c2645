package repository

import (
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/trust"
)

// isFallback reports whether role is one with which a single signer returns a channel.
func isFallback(role string) bool { return strings.HasPrefix(role, trust.FallbackRole("channel/")) }

// NoFallback is the error for a return of a channel that has no such role: one signature, or the
// machine's own key, moves it anyway.
func NoFallback(role string) error {
	channel := strings.TrimPrefix(role, trust.FallbackRole("channel/"))
	err := errs.Errorf(errs.NotFound, "channel %s has no role %s: it is made when the channel asks for several signatures", channel, role)
	return errs.Hint(err, "where one signature suffices: overland rollback %s; else overland trust add-signer channel/%s KEY --threshold N", channel, channel)
}

// keepFallback makes any one signer of channel role a signer of its fallback role: from the moment at
// which the channel asks for more than one signature. Once made it stays, with the channel's own
// signers, because nodes refuse a snapshot that no longer speaks of a role.
func keepFallback(top *trust.TargetsMetadata, role string) {
	channel, name := trust.Delegation(top, role), trust.FallbackRole(role)
	if name == "" || channel == nil {
		return
	}
	ids := slices.Clone(channel.KeyIDs)
	if d := trust.Delegation(top, name); d != nil {
		d.KeyIDs = ids
		return
	}
	if channel.Threshold > 1 {
		top.Signed.Delegations.Roles = append(top.Signed.Delegations.Roles,
			metadata.DelegatedRole{Name: name, Threshold: 1, Terminating: true, Paths: []string{name + "/*"}, KeyIDs: ids})
	}
}
