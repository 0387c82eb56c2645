package session

import (
	"errors"
	"slices"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/progress"
	"overland/internal/record"
)

// RecordErr returns the error of a recording whose command ended with ended. Content that changed
// or failed its proof, and a request that cannot be recorded, are errors, however the command
// reacted. A nil Result means that no command ran: its error is ended.
func (r *Result) RecordErr(ended error) error {
	if exit := (*ExitError)(nil); r == nil || (ended != nil && !errors.As(ended, &exit)) {
		return ended
	}
	for _, p := range r.Problems {
		k, refused := errs.KindOf(p), (*record.RefusedError)(nil)
		if errors.As(p, &refused) {
			k = errs.Conflict // what the client asked for and what it got
		}
		if k == errs.Untrusted || k == errs.Conflict {
			return errs.Hint(errs.Errorf(k, "%s failed; the lock was not changed", progress.Count(len(r.Problems), "request", "requests")),
				"the warnings above name them")
		}
	}
	return ended
}

// Holder describes where a replay finds what was recorded.
type Holder struct {
	Name    string // "this depot"
	Missing string // hint: what to do if something is missing
	Damaged string // hint: what to do if something differs from the lock
}

// ReplayErr returns the error of a replay from h whose command ended with ended. A request
// that has no answer is an error, however the command reacted. A nil Result means that no
// command ran: its error is ended.
func (r *Result) ReplayErr(ended error, h Holder) error {
	if r == nil || len(r.Problems) == 0 {
		return ended
	}
	untrusted := func(p error) bool { return errs.KindOf(p) == errs.Untrusted }
	held := func(p error) bool { // it was recorded, but its blob is missing or damaged
		miss := (*record.MissError)(nil)
		return !errors.As(p, &miss)
	}
	n := len(r.Problems)
	switch {
	case slices.ContainsFunc(r.Problems, untrusted):
		return errs.Hint(errs.Errorf(errs.Untrusted, "%s differs from the lock", h.Name), "%s", h.Damaged)
	case slices.ContainsFunc(r.Problems, held):
		return errs.Hint(errs.Errorf(errs.Unavailable, "%s no answer in %s", progress.Count(n, "request has", "requests have"), h.Name), "%s", h.Missing)
	}
	return errs.Hint(errs.Errorf(errs.Unavailable, "%s never recorded", progress.Count(n, "request was", "requests were")), "%s", h.Missing)
}

// LockErr returns the error of the lock in the file path, with that many entries, in which Verify
// found problems; nil if there are none.
func LockErr(path string, entries int, problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	worst, hint := errs.Unavailable, "overland record -- COMMAND fetches them again and refuses what has changed"
	for _, p := range problems {
		if errs.KindOf(p) != errs.Untrusted {
			continue
		}
		worst = errs.Untrusted
		if !errors.Is(p, digest.ErrMismatch) {
			hint = "somebody changed their lines: git log -p " + path + "; overland lock update -- COMMAND shows what the origins have now"
		}
	}
	return errs.Hint(errs.Errorf(worst, "%d of %s cannot be relied on", len(problems), progress.Count(entries, "entry", "entries")), "%s", hint)
}
