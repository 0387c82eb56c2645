package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/errs"
	"overland/internal/trust"
)

// Repository is where an operator signs: *trust.Repository.
type Repository interface {
	SetTargets(ctx context.Context, role string, change func(map[string]trust.TargetFile) error) error
	Targets(role string) (map[string]trust.TargetFile, error)
	History(role string) ([]trust.Version, error) // the newest first
}

// errSame leaves the metadata as it is: signing the same statement again would cost every node a download.
var errSame = errors.New("already so")

// Publish signs that ref is the release whose OCI index is desc. Doing it twice changes nothing; the same ref with
// another index is an error of kind Conflict.
func Publish(ctx context.Context, repo Repository, ref Ref, desc ocispec.Descriptor) error {
	if err := ref.Check(); err != nil {
		return err
	}
	err := repo.SetTargets(ctx, Role(ref.App), func(t map[string]trust.TargetFile) error {
		if old, ok := t[Path(ref)]; ok {
			if old.Digest == desc.Digest {
				return errSame
			}
			return errs.Hint(errs.Errorf(errs.Conflict, "%s is already released with other content (%s)", ref, old.Digest),
				"a release never changes: commit, and release the new version")
		}
		t[Path(ref)] = trust.TargetFile{Digest: desc.Digest, Size: desc.Size}
		return nil
	})
	return done("release "+ref.String(), err)
}

// Promote signs that channel to runs release ref from now on, and returns the channel's new entry. The release must
// have been published. Promoting what the channel already runs changes nothing.
func Promote(ctx context.Context, repo Repository, ref Ref, to Channel) (Entry, error) {
	return promote(ctx, repo, ref, to, "")
}

// PromoteFrom promotes to channel to what channel from runs of app.
func PromoteFrom(ctx context.Context, repo Repository, app string, from, to Channel) (Entry, error) {
	list, err := Show(repo, from)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range list {
		if e.App == app {
			return promote(ctx, repo, e.Ref(), to, from)
		}
	}
	return Entry{}, errs.Hint(errs.Errorf(errs.NotFound, "channel %s runs no %q", from, app), "overland channel show %s", from)
}

func promote(ctx context.Context, repo Repository, ref Ref, to, from Channel) (Entry, error) {
	if err := errors.Join(ref.Check(), checkChannel(to)); err != nil {
		return Entry{}, errs.E(errs.Invalid, err)
	}
	signed, err := Find(repo, ref)
	if err != nil {
		return Entry{}, err
	}
	return state(ctx, repo, to, ref.App, func(trust.TargetFile, bool) (trust.TargetFile, statement, error) {
		return signed, statement{Version: ref.Version, From: from}, nil
	})
}

// state replaces channel ch's statement about app by what next makes of the one that is there when the lock is held.
func state(ctx context.Context, repo Repository, ch Channel, app string,
	next func(now trust.TargetFile, have bool) (trust.TargetFile, statement, error),
) (Entry, error) {
	var entry Entry
	err := repo.SetTargets(ctx, ch.Role(), func(t map[string]trust.TargetFile) error {
		path := ChannelPath(ch, app)
		old, have := t[path]
		file, s, err := next(old, have)
		if err != nil {
			return err
		}
		if have && old.Digest == file.Digest {
			if e, was, err := parseEntry(app, old); err == nil && was.Version == s.Version {
				entry = e
				return errSame
			}
		}
		custom, err := json.Marshal(s)
		if err != nil {
			return err
		}
		t[path] = trust.TargetFile{Digest: file.Digest, Size: file.Size, Custom: custom}
		entry, _, err = parseEntry(app, t[path])
		return err
	})
	return entry, done(fmt.Sprintf("channel %s", ch), err)
}

// Rollback returns channel ch to its statement about app before the present one, and returns that entry. Statements are
// taken from the signed history; rolling back twice goes back two promotions. Without an earlier one the error is of
// kind NotFound.
func Rollback(ctx context.Context, repo Repository, ch Channel, app string) (Entry, error) {
	list, err := Show(repo, ch)
	if err != nil {
		return Entry{}, err
	}
	at := slices.IndexFunc(list, func(e Entry) bool { return e.App == app })
	if at < 0 {
		return Entry{}, errs.Hint(errs.Errorf(errs.NotFound, "channel %s runs no %q", ch, app), "overland channel show %s", ch)
	}
	before, err := Before(repo, ch, app)
	if err != nil {
		return Entry{}, err
	}
	if len(before) == 0 {
		return Entry{}, errs.Hint(errs.Errorf(errs.NotFound, "channel %s has run no earlier %s", ch, app),
			"promote the release that you want: overland promote %s@VERSION --to %s", app, ch)
	}
	seen, e := list[at], before[len(before)-1]
	return state(ctx, repo, ch, app, func(now trust.TargetFile, _ bool) (trust.TargetFile, statement, error) {
		if now.Digest != seen.Digest {
			// Whoever promoted in the meantime did not mean to have that taken back.
			return now, statement{}, errs.Hint(errs.Errorf(errs.Conflict, "somebody else has just promoted %s", app),
				"overland channel show %s, then decide again", ch)
		}
		return trust.TargetFile{Digest: e.Digest, Size: e.Size}, statement{Version: e.Version, From: e.From, Rollback: true}, nil
	})
}

// Before returns what Rollback can return to: the entries of app that channel ch ran before the present one, oldest
// first. What was rolled back from is not among them.
func Before(repo Repository, ch Channel, app string) ([]Entry, error) {
	history, err := repo.History(ch.Role())
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", ch, err)
	}
	var stack []Entry
	var last string
	for _, past := range slices.Backward(history) {
		t, ok := past.Targets[ChannelPath(ch, app)]
		if !ok || string(t.Custom) == last {
			continue
		}
		last = string(t.Custom)
		e, s, err := parseEntry(app, t)
		if err != nil {
			return nil, fmt.Errorf("channel %s: %w", ch, err)
		}
		if s.Rollback {
			at := slices.IndexFunc(stack, func(old Entry) bool { return old.Version == e.Version })
			stack = stack[:max(at, 0)]
		}
		stack = append(stack, e)
	}
	return stack[:max(len(stack)-1, 0)], nil
}

// Show returns what channel ch runs, sorted by application. A channel nobody promoted to is an error of kind NotFound.
func Show(repo Repository, ch Channel) ([]Entry, error) {
	if err := checkChannel(ch); err != nil {
		return nil, err
	}
	t, err := repo.Targets(ch.Role())
	if err != nil {
		return nil, err
	}
	if len(t) == 0 {
		return nil, errs.Errorf(errs.NotFound, "no channel %q", ch)
	}
	list, err := parseEntries(ch, t)
	if err != nil {
		return nil, err
	}
	return list, since(repo, ch, list)
}

// since fills each entry's Since: the signing time of the oldest version since which the statement is unchanged.
func since(repo Repository, ch Channel, list []Entry) error {
	history, err := repo.History(ch.Role())
	if err != nil {
		return fmt.Errorf("channel %s: %w", ch, err)
	}
	for i := range list {
		e := &list[i]
		for _, past := range history {
			t, ok := past.Targets[ChannelPath(ch, e.App)]
			if was, _, err := parseEntry(e.App, t); !ok || err != nil || was.Ref() != e.Ref() || was.Digest != e.Digest {
				break
			}
			e.Since = past.SignedAt
		}
	}
	return nil
}

// Find returns the signed target of release ref: the digest and size of its OCI index. A release that nobody signed is
// an error of kind NotFound.
func Find(repo Repository, ref Ref) (trust.TargetFile, error) {
	t, err := repo.Targets(Role(ref.App))
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return trust.TargetFile{}, err
	}
	file, ok := t[Path(ref)]
	if !ok {
		return file, errs.Hint(errs.Errorf(errs.NotFound, "no release %s", ref), "overland release, in %s's folder, makes one of its newest commit", ref.App)
	}
	return file, nil
}

func checkChannel(ch Channel) error {
	_, err := ParseChannel(string(ch))
	return err
}

func done(what string, err error) error {
	if err == nil || errors.Is(err, errSame) {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
