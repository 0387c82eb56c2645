package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

// Refused is what a channel says about one application and on which nobody may act.
type Refused struct {
	Entry       // App is set always; the rest when the channel's own statement can be read
	Err   error // of kind Untrusted: withdrawn, expired, not signed by the application's own role
}

// Current returns what channel ch runs, sorted by application, as the verified metadata of node
// client c says. Each application is judged alone: it is in list when its own role has signed the
// same digest under the same version, for a key that may promote cannot release; and else in
// refused, so that one application's signers never stop another's news. Where one signer has returned
// it to the fallback that its promotion names, it is that one (Entry.Back). A fallback role that does
// not hold changes nothing, and is told of (Entry.Doubt).
//
// The error is about the channel itself: of kind NotFound when there is none, Untrusted when it
// does not hold, and what the source answers when it cannot be reached now.
func Current(ctx context.Context, c *client.Client, ch Channel) (list []Entry, refused []Refused, err error) {
	if err := checkChannel(ch); err != nil {
		return nil, nil, err
	}
	targets, err := c.Targets(ctx, ch.Role())
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) == errs.NotFound {
			return nil, nil, errs.E(errs.NotFound, fmt.Errorf("no channel %q: %w", ch, err))
		}
		return nil, nil, fmt.Errorf("channel %s: %w", ch, err)
	}
	back, err := returnsOf(ctx, c, ch)
	if err != nil {
		return nil, nil, fmt.Errorf("channel %s: %w", ch, err)
	}
	return sift(ch, targets, back, func(ref Ref) (trust.TargetFile, error) { return c.Target(ctx, Path(ref)) })
}

// Channels returns the channels that the operator of what c verified has, sorted.
func Channels(c *client.Client) ([]Channel, error) {
	roles, err := c.Delegated()
	var list []Channel
	for _, role := range roles {
		name, ok := strings.CutPrefix(role, Channel("").Role())
		if ch, perr := ParseChannel(name); ok && perr == nil {
			list = append(list, ch)
		}
	}
	return list, err
}

// Judged is an operator's repository that knows what its nodes would believe: *repository.State.
type Judged interface {
	trust.Signed
	// Check returns why a node would not believe what role says at the moment at.
	Check(role string, at time.Time) error
	// SignedBy returns the ids of the keys that validly signed what role says, sorted.
	SignedBy(role string) []string
	// SignedTime returns when what role says was signed; zero when nothing was.
	SignedTime(role string) time.Time
}

// Judge is Current for the operator: what nodes that follow channel ch would run at the moment at.
// A channel that nothing was promoted to is an error of kind NotFound.
func Judge(now Judged, ch Channel, at time.Time) (list []Entry, refused []Refused, err error) {
	if _, err := Runs(now, ch); err != nil {
		return nil, nil, err
	}
	role := FallbackRole(ch)
	back := returns{files: now.Targets(role)}
	if len(back.files) > 0 {
		back.by, back.at, back.err = now.SignedBy(role), now.SignedTime(role), now.Check(role, at)
		if back.err != nil && passing(back.err) {
			return nil, nil, fmt.Errorf("channel %s: %w", ch, back.err)
		}
	}
	return sift(ch, now.Targets(ch.Role()), back, func(ref Ref) (trust.TargetFile, error) {
		file, err := Find(now, ref)
		if err != nil {
			return file, err
		}
		return file, now.Check(Role(ref.App), at)
	})
}

// sift judges what channel ch says about each application by find, which returns the signed target
// of a release.
func sift(ch Channel, targets map[string]trust.TargetFile, back returns, find func(Ref) (trust.TargetFile, error)) ([]Entry, []Refused, error) {
	all, refused := parseEntries(ch, targets)
	list := make([]Entry, 0, len(all))
	for _, e := range all {
		e = back.apply(ch, e)
		err := ch.admits(e.App)
		if err == nil {
			err = accept(e, find)
		}
		switch {
		case err == nil:
			list = append(list, e)
		case passing(err):
			return nil, nil, fmt.Errorf("channel %s: %w", ch, err)
		default:
			refused = append(refused, Refused{Entry: e, Err: errs.E(errs.Untrusted, fmt.Errorf("channel %s: %w", ch, err))})
		}
	}
	sort.Slice(refused, func(i, j int) bool { return refused[i].App < refused[j].App })
	return list, refused, nil
}

func accept(e Entry, find func(Ref) (trust.TargetFile, error)) error {
	t, err := find(e.Ref())
	if err != nil {
		return fmt.Errorf("%s is not a signed release: %w", e.Ref(), err)
	}
	if t.Digest != e.Digest || t.Size != e.Size {
		return errs.Errorf(errs.Untrusted, "%s is %s there, but its release is signed as %s", e.Ref(), e.Digest, t.Digest)
	}
	return nil
}

// passing reports whether err says nothing about a release: a link that is down, a full disk. That
// a file which is signed as existing is not there does say something.
func passing(err error) bool {
	switch errs.KindOf(err) {
	case errs.Unavailable:
		return !errors.Is(err, fs.ErrNotExist)
	case errs.Cancelled, errs.Internal:
		return true
	}
	return false
}
