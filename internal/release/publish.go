package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"overland/internal/errs"
	"overland/internal/trust"
)

// Repository is where an operator signs: *repository.Repository.
type Repository interface {
	// SetTargets changes what role says. change is given the state that it is
	// applied to, and may be called again.
	SetTargets(ctx context.Context, role string, change func(now trust.Signed, t map[string]trust.TargetFile) error) error
}

// Promotion is a channel's change.
type Promotion struct {
	Entry
	Channel Channel
	Before  Entry // what the channel ran of the application; zero when nothing
	New     bool  // the channel was made by this
	Same    bool  // nothing was signed: the channel runs it already
	Taken   bool  // Before is of another repository
}

// errSame leaves the metadata as it is: signing the same statement again
// would cost every node a download.
var errSame = errors.New("already so")

// Promote signs that channel to runs release ref from now on. The release must have been published.
// Promoting what the channel already runs changes nothing. What the promotion rests on is read from
// the state that it is applied to. A release of another repository than the one whose release the
// channel runs is an error of kind Conflict, unless take allows it.
func Promote(ctx context.Context, repo Repository, ref Ref, to Channel, take TakeName) (*Promotion, error) {
	if err := ref.Check(); err != nil {
		return nil, err
	}
	return promote(ctx, repo, ref.App, to, func(now trust.Signed, was Entry) (trust.TargetFile, statement, error) {
		return statementFor(now, was, Entry{App: ref.App, Version: ref.Version}, to, take)
	})
}

// PromoteFrom promotes what channel from runs of app to channel to; as Promote.
func PromoteFrom(ctx context.Context, repo Repository, app string, from, to Channel, take TakeName) (*Promotion, error) {
	return promote(ctx, repo, app, to, func(now trust.Signed, was Entry) (trust.TargetFile, statement, error) {
		if err := checkRuns(now, from, app); err != nil {
			return trust.TargetFile{}, statement{}, err
		}
		e := standing(now, from, app)
		e.From = from
		return statementFor(now, was, e, to, take)
	})
}

// statementFor returns the statement by which channel to, which runs was, runs the release of e.
func statementFor(now trust.Signed, was, e Entry, to Channel, take TakeName) (trust.TargetFile, statement, error) {
	signed, err := Find(now, e.Ref())
	if err != nil {
		return signed, statement{}, err
	}
	s := statement{Version: e.Version, From: e.From, Repository: claimOf(signed).Repository}
	if was.App != "" && was.Repository != s.Repository && !bool(take) {
		return signed, s, errs.Hint(errs.Errorf(errs.Conflict, "channel %s runs %s of the repository that begins with commit %s, and %s is of the one that begins with %s",
			to, was.Ref(), short(was.Repository), e.Ref(), short(s.Repository)), "when nodes are to run it in place of the other, with its data: --take-name")
	}
	return signed, s, nil
}

// Rollback returns channel ch to its statement about app before the present one. Statements are
// taken from the signed history; rolling back twice goes back two promotions. Without an earlier
// one the error is of kind NotFound.
func Rollback(ctx context.Context, repo Repository, ch Channel, app string) (*Promotion, error) {
	var seen *Entry
	return promote(ctx, repo, app, ch, func(now trust.Signed, was Entry) (trust.TargetFile, statement, error) {
		var none trust.TargetFile
		if err := checkRuns(now, ch, app); err != nil {
			return none, statement{}, err
		}
		if seen != nil && seen.Digest != was.Digest {
			// A promotion made in the meantime was not meant to be taken back.
			return none, statement{}, errs.Hint(errs.Errorf(errs.Conflict, "somebody else has just promoted %s", app),
				"overland channel show %s, then decide again", ch)
		}
		seen = &was
		before, err := Before(ctx, now, ch, app)
		if err != nil {
			return none, statement{}, err
		}
		if len(before) == 0 {
			return none, statement{}, errs.Hint(errs.Errorf(errs.NotFound, "channel %s has run no earlier %s", ch, app),
				"promote the release that you want: overland promote %s@VERSION --to %s", app, ch)
		}
		e := before[len(before)-1]
		s := statement{Version: e.Version, From: e.From, Repository: e.Repository, Rollback: true}
		return trust.TargetFile{Digest: e.Digest, Size: e.Size}, s, nil
	})
}

// promote replaces channel to's statement about app by what next makes of the one that is there;
// next may be called again when another writer was first.
func promote(ctx context.Context, repo Repository, app string, to Channel,
	next func(now trust.Signed, was Entry) (trust.TargetFile, statement, error),
) (*Promotion, error) {
	if err := checkChannel(to); err != nil {
		return nil, err
	}
	if err := to.admits(app); err != nil {
		return nil, err
	}
	var p *Promotion
	var refused error // by next: it says all that there is to say
	err := repo.SetTargets(ctx, to.Role(), func(now trust.Signed, t map[string]trust.TargetFile) error {
		p = &Promotion{Channel: to, New: len(t) == 0}
		path := ChannelPath(to, app)
		old, have := t[path]
		p.Before = standing(now, to, app)
		file, s, err := next(now, p.Before)
		if refused = err; err != nil {
			return err
		}
		if have && p.Before.Back == nil && old.Digest == file.Digest && p.Before.Version == s.Version {
			p.Entry, p.Same = p.Before, true
			return errSame
		}
		// What ran, not what was said: a channel that was returned to r1 ran r1.
		s.Promotion = now.Version(to.Role()) + 1
		if b := p.Before; b.App != "" && b.Digest != file.Digest && !s.Rollback {
			s.Fallback = &Fallback{Version: b.Version, Digest: b.Digest, Size: b.Size, Repository: b.Repository}
		}
		custom, err := json.Marshal(s)
		if err != nil {
			return err
		}
		t[path] = trust.TargetFile{Digest: file.Digest, Size: file.Size, Custom: custom}
		p.Entry, _, err = parseEntry(app, t[path])
		p.Taken = p.Before.App != "" && p.Before.Repository != p.Repository
		return err
	})
	if refused != nil {
		return nil, refused
	}
	return p, done(fmt.Sprintf("channel %s", to), err)
}

// Before returns what Rollback can return to: the entries of app that channel ch ran before the
// present one, oldest first. What was rolled back from is not among them, nor is a release that was
// removed since.
func Before(ctx context.Context, now trust.Signed, ch Channel, app string) ([]Entry, error) {
	history, err := now.History(ctx, ch.Role())
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
		if n := len(stack); n > 0 && !s.Rollback && stack[n-1].Version == e.Version && stack[n-1].Digest == e.Digest {
			continue // promoted again, to end a return to its fallback
		}
		if s.Rollback {
			at := slices.IndexFunc(stack, func(old Entry) bool { return old.Version == e.Version })
			stack = stack[:max(at, 0)]
		}
		stack = append(stack, e)
	}
	return slices.DeleteFunc(stack[:max(len(stack)-1, 0)], func(e Entry) bool {
		file, err := Find(now, e.Ref())
		return err != nil || file.Digest != e.Digest
	}), nil
}

// Show returns what channel ch runs, sorted by application, and since when: for that it reads the
// channel's history. A channel that nothing was promoted to is an error of kind NotFound.
func Show(ctx context.Context, now trust.Signed, ch Channel) ([]Entry, error) {
	list, err := Runs(now, ch)
	if err != nil {
		return nil, err
	}
	return list, since(ctx, now, ch, list)
}

// Runs is Show without Since: it reads nothing.
func Runs(now trust.Signed, ch Channel) ([]Entry, error) {
	if err := checkChannel(ch); err != nil {
		return nil, err
	}
	t := now.Targets(ch.Role())
	if len(t) == 0 {
		return nil, errs.Errorf(errs.NotFound, "no channel %q", ch)
	}
	list, _ := parseEntries(ch, t) // what cannot be read is Judge's to tell
	return list, nil
}

// Remove signs that channel ch no longer runs app, and returns what it ran. Nodes that follow ch stop
// app when they next ask, unless it was the last that the channel ran: a channel that runs
// nothing changes nothing on a node. What ch does not run is an error of kind NotFound.
func Remove(ctx context.Context, repo Repository, app string, ch Channel) (was Entry, left int, err error) {
	if err := checkChannel(ch); err != nil {
		return was, 0, err
	}
	var refused error
	err = repo.SetTargets(ctx, ch.Role(), func(now trust.Signed, t map[string]trust.TargetFile) error {
		path := ChannelPath(ch, app)
		old, have := t[path]
		if !have {
			refused = checkRuns(now, ch, app)
			return refused
		}
		if was, _, err = parseEntry(app, old); err != nil {
			was = Entry{App: app, Digest: old.Digest} // it may be there because it cannot be read
		}
		delete(t, path)
		left = len(t)
		return nil
	})
	if refused != nil {
		return was, 0, refused
	}
	return was, left, done(fmt.Sprintf("channel %s", ch), err)
}

// Withdraw signs that refs, of one application, are no releases any more. check, given the state that
// the change is made on, may refuse it. The name stays with who has it: a change that would give it
// to another repository is an error of kind Conflict. Without any release left it is free.
func Withdraw(ctx context.Context, repo Repository, refs []Ref, check func(now trust.Signed) error) error {
	app := refs[0].App
	var refused error
	err := repo.SetTargets(ctx, Role(app), func(now trust.Signed, t map[string]trust.TargetFile) error {
		if refused = check(now); refused != nil {
			return refused
		}
		had, term := holder(t)
		for _, ref := range refs {
			delete(t, Path(ref))
		}
		if has, left := holder(t); has != nil && (has.Repository != had.Repository || left != term) {
			refused = errs.Hint(errs.Errorf(errs.Conflict, "the name %s would go back to the repository that begins with commit %s", app, short(has.Repository)),
				"remove all its releases too, or keep the newest of the repository that begins with %s", short(had.Repository))
		}
		return refused
	})
	if refused != nil {
		return refused
	}
	return done(fmt.Sprintf("releases of %s", app), err)
}

// checkRuns returns an error of kind NotFound unless channel ch runs app.
func checkRuns(now trust.Signed, ch Channel, app string) error {
	list, err := Runs(now, ch)
	if err == nil && !slices.ContainsFunc(list, func(e Entry) bool { return e.App == app }) {
		err = errs.Hint(errs.Errorf(errs.NotFound, "channel %s runs no %q", ch, app), "overland channel show %s", ch)
	}
	return err
}

// since fills each entry's Since: the signing time of the oldest version since
// which the statement is unchanged.
func since(ctx context.Context, now trust.Signed, ch Channel, list []Entry) error {
	history, err := now.History(ctx, ch.Role())
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

// Find returns the signed target of release ref: the digest and size of its OCI index. A release
// that nobody signed is an error of kind NotFound.
func Find(now trust.Signed, ref Ref) (trust.TargetFile, error) {
	file, ok := now.Targets(Role(ref.App))[Path(ref)]
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
