package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

// Fallback is the release to which one signer of a channel may return an application alone. The
// promotion names it, so as many people have signed it as the channel asks for.
type Fallback struct {
	Version    string        `json:"version"`
	Digest     digest.Digest `json:"digest"` // of the release's OCI index
	Size       int64         `json:"size"`   // of the index, bytes
	Repository string        `json:"repository,omitempty"`
}

// Back says that an application stands on its fallback: what one signer undid, and who.
type Back struct {
	Undone Ref           // what the channel's promotion says
	Digest digest.Digest // of Undone
	By     []string      // ids of the keys that signed the return, sorted
	At     time.Time     // when it was signed: filled by Judge, zero on a node
}

// FallbackRole returns the role with which one signer of channel c returns it: "fallback/live".
// No channel's role begins like that, so none can have its name.
func FallbackRole(c Channel) string { return trust.FallbackRole(c.Role()) }

// FallbackPath returns the name under which the return of app in channel c is signed.
func FallbackPath(c Channel, app string) string { return FallbackRole(c) + "/" + app }

// backStatement is the custom part of a target of the fallback role. Its digest must be the one that
// the promotion names, and Promotion that promotion's number: it dies with the next promotion.
type backStatement struct {
	Version   string `json:"version"`
	Promotion int64  `json:"promotion"`
}

// returns is what the fallback role of a channel says.
type returns struct {
	files map[string]trust.TargetFile
	by    []string
	at    time.Time
	err   error // why the role does not hold
}

// returnsOf reads the fallback role of ch for a node. A channel without one is nothing wrong. The
// error is about the source, which cannot be reached now.
func returnsOf(ctx context.Context, c *client.Client, ch Channel) (r returns, err error) {
	r.files, r.by, r.err = c.TargetsBy(ctx, FallbackRole(ch))
	switch {
	case r.err == nil:
	case passing(r.err):
		return r, r.err
	case errs.KindOf(r.err) == errs.NotFound && !errors.Is(r.err, fs.ErrNotExist):
		r.err = nil // no such role, or nobody has ever gone back
	}
	return r, nil
}

// apply returns e as the channel stands: on its promotion or, when r holds and undoes just that
// promotion, on the fallback that it names. What r says of anything else has no effect.
func (r returns) apply(ch Channel, e Entry) Entry {
	if e.Fallback == nil || e.Promotion <= 0 {
		return e
	}
	if r.err != nil {
		e.Doubt = fmt.Errorf("whether one signer has undone %s is not known: %w", e.Ref(), r.err)
		return e
	}
	t, ok := r.files[FallbackPath(ch, e.App)]
	if !ok {
		return e
	}
	var s backStatement
	if err := json.Unmarshal(t.Custom, &s); err != nil {
		e.Doubt = errs.E(errs.Untrusted, fmt.Errorf("%s: %w", FallbackPath(ch, e.App), err))
		return e
	}
	if s.Promotion != e.Promotion {
		return e // of an earlier promotion
	}
	if t.Digest != e.Fallback.Digest || t.Size != e.Fallback.Size || s.Version != e.Fallback.Version {
		e.Doubt = errs.Errorf(errs.Untrusted, "%s by key %s is ignored: it names %.100q %s, and the promotion allows %s alone",
			FallbackPath(ch, e.App), strings.Join(r.by, ", "), s.Version, t.Digest, e.Fallback.Version)
		return e
	}
	back := &Back{Undone: e.Ref(), Digest: e.Digest, By: r.by, At: r.at}
	e.Version, e.Digest, e.Size = e.Fallback.Version, e.Fallback.Digest, e.Fallback.Size
	e.Repository, e.From, e.Back = e.Fallback.Repository, "", back
	return e
}

// Stands returns what channel ch would run of app if its fallback role said returns; the zero Entry
// when it runs none. Whether nodes believe it is Judge's to say.
func Stands(now trust.Signed, ch Channel, app string, said map[string]trust.TargetFile) Entry {
	file, there := now.Targets(ch.Role())[ChannelPath(ch, app)]
	if e, _, err := parseEntry(app, file); there && err == nil {
		return returns{files: said}.apply(ch, e)
	}
	return Entry{}
}

// standing returns what channel ch runs of app by now; the zero Entry when it runs none.
func standing(now trust.Signed, ch Channel, app string) Entry {
	return Stands(now, ch, app, now.Targets(FallbackRole(ch)))
}

// Return is what GoBack would do, or has done.
type Return struct {
	Channel Channel
	App     string
	To      Fallback
	Undoes  Entry // what the channel runs
}

// PlanReturn returns what GoBack would do. A channel that one signature moves anyway, and a promotion
// that names no fallback or stands on it already, are errors.
func PlanReturn(now trust.Signed, ch Channel, app string) (*Return, error) {
	if err := checkRuns(now, ch, app); err != nil {
		return nil, err
	}
	e := standing(now, ch, app)
	switch {
	case e.App == "":
		return nil, errs.Errorf(errs.NotFound, "channel %s: what it says of %s cannot be read", ch, app)
	case e.Back != nil:
		return nil, errs.Hint(errs.Errorf(errs.Conflict, "channel %s stands on its fallback already: %s, and %s is undone", ch, e.Ref(), e.Back.Undone),
			"the next promotion supersedes it: overland promote")
	case e.Fallback == nil:
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "the promotion of %s to %s names no fallback: the channel ran none before, or this is a roll-back", e.Ref(), ch),
			"overland rollback %s %s, with as many signatures as the channel asks for", ch, app)
	}
	to := Ref{App: app, Version: e.Fallback.Version}
	signed, err := Find(now, to)
	if err != nil {
		return nil, fmt.Errorf("the fallback of channel %s is withdrawn: %w", ch, err)
	}
	if signed.Digest != e.Fallback.Digest || signed.Size != e.Fallback.Size {
		return nil, errs.Hint(errs.Errorf(errs.Untrusted, "channel %s names %s as fallback with digest %s, but its release is %s: nodes would refuse it",
			ch, to, e.Fallback.Digest, signed.Digest), "overland rollback %s %s, with as many signatures as the channel asks for", ch, app)
	}
	return &Return{Channel: ch, App: app, To: *e.Fallback, Undoes: e}, nil
}

// GoBack signs with one signature that channel ch returns app to the fallback which its present
// promotion names; want is what PlanReturn has shown: when another promotion came in the meantime the
// error is of kind Conflict and nothing is signed.
func GoBack(ctx context.Context, repo Repository, want *Return) error {
	role := FallbackRole(want.Channel)
	var refused error
	err := repo.SetTargets(ctx, role, func(now trust.Signed, t map[string]trust.TargetFile) error {
		plan, err := PlanReturn(now, want.Channel, want.App)
		if err == nil && (plan.To != want.To || plan.Undoes.Promotion != want.Undoes.Promotion || plan.Undoes.Digest != want.Undoes.Digest) {
			err = errs.Hint(errs.Errorf(errs.Conflict, "somebody else has just promoted %s", want.App), "overland channel show %s, then decide again", want.Channel)
		}
		if refused = err; err != nil {
			return err
		}
		custom, err := json.Marshal(backStatement{Version: plan.To.Version, Promotion: plan.Undoes.Promotion})
		if err != nil {
			return err
		}
		// Returns of earlier promotions have no effect any more.
		for path, old := range t {
			app := strings.TrimPrefix(path, role+"/")
			if Stands(now, want.Channel, app, map[string]trust.TargetFile{path: old}).Back == nil {
				delete(t, path)
			}
		}
		t[FallbackPath(want.Channel, want.App)] = trust.TargetFile{Digest: plan.To.Digest, Size: plan.To.Size, Custom: custom}
		return nil
	})
	if refused != nil {
		return refused
	}
	return done(fmt.Sprintf("channel %s", want.Channel), err)
}
