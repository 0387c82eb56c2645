package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"overland/internal/errs"
	"overland/internal/httpx"
)

// pick returns the source to ask next, waiting while every one of them rests after a failure. When
// none is left the error says why for each.
func (t *transfer) pick(ctx context.Context) (int, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("fetch %s: %w", t.b.Digest, context.Cause(ctx))
		}
		i, wait, found := t.choose()
		if !found {
			return 0, t.lost()
		}
		if wait <= 0 {
			return i, nil
		}
		if err := sleep(ctx, wait); err != nil {
			return 0, fmt.Errorf("fetch %s: %w", t.b.Digest, err)
		}
	}
}

// choose returns the best source and how long it still rests: the first in order that is not
// avoided, else the one whose rest ends first. Sources that would send the bytes again that are on
// the disk come after all others.
func (t *transfer) choose() (best int, wait time.Duration, found bool) {
	if t.solo && t.last >= 0 && !t.src[t.last].out && (!t.src[t.last].noRange || t.off == 0) {
		// A solo unit starts again with every change of source: stay.
		rest, _ := t.f.health.Look(t.ids[t.last])
		return t.last, rest, true
	}
	for _, again := range []bool{false, true} {
		var alone int
		var shortest time.Duration
		for i := range t.src {
			if t.src[i].out || (t.src[i].noRange && t.off > 0) != again {
				continue
			}
			rest, avoided := t.f.health.Look(t.ids[i])
			if rest <= 0 && !avoided {
				return i, 0, true
			}
			if !found || rest < shortest {
				alone, shortest, found = i, rest, true
			}
		}
		if found {
			return alone, shortest, true
		}
	}
	return 0, 0, false
}

// better returns the pace, in bytes a second, below which source i is left for another one: half of
// a link that nobody may give up while there is a source that was not asked yet, else half of what
// another one did. To leave a source costs nothing: the next one goes on at the same byte. 0 = there is no other.
func (t *transfer) better(i int) (pace int64) {
	if t.solo || t.src[i].noRange {
		return 0
	}
	if t.b.Else {
		pace = httpx.SharedPace
	}
	for j := range t.src {
		s := &t.src[j]
		_, avoided := t.f.health.Look(t.ids[j])
		switch {
		case j == i || s.out || s.noRange:
		case s.err == nil && !avoided:
			return httpx.LegalPace / 2
		default:
			pace = max(pace, s.pace/2)
		}
	}
	return pace
}

// failed records an attempt of source i. A source that keeps connections drops them after silence:
// another one over the same dead link would cost as long again.
func (t *transfer) failed(i int, took time.Duration, got int64, err error) {
	cost, silent := took, errors.Is(err, httpx.ErrStalled)
	if silent {
		cost = t.f.o.Stall
	} else if got > 0 && !errors.Is(err, httpx.ErrDrips) {
		cost = 0
	}
	t.f.health.Failed(t.ids[i], t.f.o.Backoff, cost, got)
	if c, ok := t.sources[i].(interface{ CloseIdleConnections() }); ok && silent {
		c.CloseIdleConnections()
	}
}

// lost returns why no source is left. What may work later wins over what never
// will, so that a caller tries again.
func (t *transfer) lost() error {
	l := &lostError{digest: t.b.Digest}
	kind, hint := errs.NotFound, "add a source that has it: a volume, a stick or a site"
	for i := range t.src {
		s := &t.src[i]
		l.errs = append(l.errs, &SourceError{Source: t.name(i), Digest: t.b.Digest, Err: s.err})
		switch {
		case s.over == lied, s.over == useless && errs.KindOf(s.err) == errs.Untrusted:
			if kind == errs.NotFound {
				kind, hint = errs.Untrusted, "these sources do not send what was signed: use another one, and look at who runs them"
			}
		case s.over == transient, s.over == useless:
			kind, hint = errs.Unavailable, "check the cable, the address and that the site runs; the download goes on where it stopped"
		}
	}
	if len(t.src) == 0 {
		kind = errs.Unavailable
	}
	return errs.Hint(errs.E(kind, l), "%s", hint)
}
