// Package approval says in a person's words what a change that waits for signatures would change:
// which release a channel runs, from which commit to which, whose keys come and go, until when.
//
// Everything is taken from the payload that would be signed and from what is published; nothing that
// lies beside them is believed. Failure guarded: a signature under something that its signer was never shown.
package approval

import (
	"context"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

// Change is a staged change against what is published.
type Change struct {
	Role       string        `json:"role"`
	Version    int64         `json:"version"`
	Digest     digest.Digest `json:"digest"` // of the payload: what --expect compares
	Have       int           `json:"have"`   // valid signatures
	Want       int           `json:"want"`
	SignedBy   []string      `json:"signedBy"`   // names, or the beginnings of key ids
	MaySign    []string      `json:"maySign"`    // those who have not signed
	ProposedBy []string      `json:"proposedBy"` // whose signature does not count
	SignedAt   time.Time     `json:"signedAt"`   // when it was proposed
	Expires    time.Time     `json:"expires"`
	Expired    time.Time     `json:"expiresNow"` // of what is published; zero for a new role
	Releases   []Release     `json:"releases"`
	Signers    []Signers     `json:"signers"`

	Payload []byte `json:"-"` // the bytes that are signed, of which Digest is the digest
}

// Release is what changes about one application: in a channel what it runs, in an application's own
// role a release that comes or goes.
type Release struct {
	App        string        `json:"app"`
	Before     string        `json:"before,omitempty"` // version; "" when it is new
	After      string        `json:"after,omitempty"`  // version; "" when it goes
	DigestWas  digest.Digest `json:"digestBefore,omitempty"`
	Digest     digest.Digest `json:"digest,omitempty"`
	From       string        `json:"from,omitempty"`       // the channel that it came from
	Repository string        `json:"repository,omitempty"` // the first commit of the repository
	Rollback   bool          `json:"rollback,omitempty"`
	Fallback   string        `json:"fallback,omitempty"`   // version to which one signer may return it alone afterwards
	NoFallback bool          `json:"noFallback,omitempty"` // no release is signed under that version with the digest that is named
	Back       bool          `json:"back,omitempty"`       // a return to the fallback, for which one signature suffices
	NoEffect   bool          `json:"noEffect,omitempty"`   // the channel's promotion does not allow that return: nodes ignore it
	Unsigned   bool          `json:"unsigned,omitempty"`   // no release is signed under that version and digest: nodes refuse it
	Commits    *int          `json:"commits,omitempty"`    // from Before to After, by their counts; negative: back
	Asks       []string      `json:"asks,omitempty"`       // what its services ask for beyond the least
	Unread     string        `json:"unread,omitempty"`     // why Asks says nothing: what is not in this depot, or cannot be believed

	fallback digest.Digest // of Fallback, as the payload says
}

// Signers is how the signers of one role change.
type Signers struct {
	Role         string   `json:"role"`
	Added        []string `json:"added"`
	Removed      []string `json:"removed"`
	Threshold    int      `json:"threshold"`
	ThresholdWas int      `json:"thresholdBefore"`
}

// Describe returns what waits for signatures in now; known are the keys whose names are shown.
func Describe(now *repository.State, known []trust.KeyInfo) ([]Change, error) {
	list, err := now.Staged()
	if err != nil {
		return nil, err
	}
	names := func(ids []string) []string { return Names(known, ids) }
	var out []Change
	for _, s := range list {
		c := Change{
			Role: s.Role, Version: s.Version, Digest: s.Digest, Have: s.Have, Want: s.Want,
			SignedBy: names(s.SignedBy), MaySign: names(without(s.Signers, s.SignedBy)), ProposedBy: names(s.Proposed),
			SignedAt: s.SignedAt, Expires: s.Expires, Expired: s.Was,
			Releases: releases(s), Signers: []Signers{}, Payload: s.Payload,
		}
		for i := range c.Releases {
			r := &c.Releases[i]
			r.check(now, s)
			before, counted := release.Commits(r.Before)
			if after, ok := release.Commits(r.After); ok && counted {
				n := after - before
				r.Commits = &n
			}
		}
		for _, g := range s.Grants {
			c.Signers = append(c.Signers, Signers{
				Role: g.Role, Added: names(without(g.After.Keys, g.Before.Keys)), Removed: names(without(g.Before.Keys, g.After.Keys)),
				Threshold: g.After.Threshold, ThresholdWas: g.Before.Threshold,
			})
		}
		out = append(out, c)
	}
	return out, nil
}

// Ask adds to list what the services of each release that comes ask for, as depot holds it. What
// cannot be read is said and stops nothing: whoever proposes a change chooses its digest.
func Ask(ctx context.Context, depot release.Getter, list []Change) {
	for _, c := range list {
		for i := range c.Releases {
			r := &c.Releases[i]
			if r.After == "" || r.Digest == "" {
				continue
			}
			read, err := release.Read(ctx, depot, r.Digest)
			switch {
			case errs.KindOf(err) == errs.NotFound:
				r.Unread = "it is not in this depot"
			case err != nil:
				r.Unread = err.Error()
			default:
				r.Asks = inspect.Asks(read)
			}
		}
	}
}

// Names returns the names of the keys ids, or the beginnings of the ids.
func Names(known []trust.KeyInfo, ids []string) []string {
	out := []string{}
	for _, id := range ids {
		out = append(out, name(known, id))
	}
	return out
}

// name returns the name of the key id, or the beginning of the id.
func name(known []trust.KeyInfo, id string) string {
	if i := slices.IndexFunc(known, func(k trust.KeyInfo) bool { return k.ID == id }); i >= 0 {
		return known[i].Name
	}
	const digits = 12
	return id[:min(digits, len(id))]
}

// without returns the elements of list, each once, that are not in other.
func without(list, other []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(other, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// said is the custom part of a target, as channels and applications write it.
type said struct {
	Version    string `json:"version"`
	From       string `json:"from"`
	Rollback   bool   `json:"rollback"`
	Repository string `json:"repository"`
	Fallback   struct {
		Version string        `json:"version"`
		Digest  digest.Digest `json:"digest"`
	} `json:"fallback"`
}

func read(custom json.RawMessage) (s said) {
	_ = json.Unmarshal(custom, &s) // what cannot be read is shown by its digest
	return s
}

// releases returns the targets of s that change, by application.
func releases(s repository.Staged) []Release {
	out := []Release{}
	all := maps.Clone(s.Before)
	maps.Copy(all, s.After)
	for p := range all {
		was, had := s.Before[p]
		will, has := s.After[p]
		if had && has && was.Digest == will.Digest && string(was.Custom) == string(will.Custom) {
			continue
		}
		before, after := read(was.Custom), read(will.Custom)
		r := Release{
			App: path.Base(p), Before: before.Version, After: after.Version, From: after.From, Repository: after.Repository,
			Rollback: after.Rollback, Fallback: after.Fallback.Version, DigestWas: was.Digest, Digest: will.Digest,
		}
		if app, ok := strings.CutPrefix(path.Dir(p), release.Role("")); ok { // the version is the target's name
			r.App, r.Before, r.After = app, "", ""
			if had {
				r.Before = path.Base(p)
			}
			if has {
				r.After = path.Base(p)
			}
		}
		r.fallback = after.Fallback.Digest
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Release) int { return strings.Compare(a.App+"@"+a.After, b.App+"@"+b.After) })
	return out
}

// check finds out whether the release that a channel would run is signed, and what a return to its
// fallback would undo.
func (r *Release) check(now trust.Signed, s repository.Staged) {
	if name, ok := strings.CutPrefix(s.Role, release.FallbackRole("")); ok {
		r.back(now, release.Channel(name), s)
		return
	}
	if r.After == "" || !strings.HasPrefix(s.Role, release.Channel("").Role()) {
		return
	}
	r.Unsigned = !released(now, r.App, r.After, r.Digest)
	r.NoFallback = r.Fallback != "" && !released(now, r.App, r.Fallback, r.fallback)
}

// released reports whether a release of app is signed under version with digest d.
func released(now trust.Signed, app, version string, d digest.Digest) bool {
	signed, err := release.Find(now, release.Ref{App: app, Version: version})
	return err == nil && signed.Digest == d
}

// back describes a change of the fallback role of channel ch.
func (r *Release) back(now trust.Signed, ch release.Channel, s repository.Staged) {
	was, will := release.Stands(now, ch, r.App, s.Before), release.Stands(now, ch, r.App, s.After)
	r.Back, r.NoEffect = true, r.After != "" && will.Back == nil
	r.Before, r.DigestWas = was.Version, was.Digest
	if !r.NoEffect {
		r.After, r.Digest, r.Repository = will.Version, will.Digest, will.Repository
	}
}
