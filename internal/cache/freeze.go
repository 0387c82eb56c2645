package cache

import (
	"context"
	"regexp"
	"time"

	"overland/internal/errs"
)

// Freeze names one consistent state of everything that can change: as the cache had it at a moment.
type Freeze struct {
	Name string
	At   time.Time // the moment, in whole milliseconds
	// Made is when the freeze was made, in whole milliseconds. If it equals At, whatever is first
	// requested later joins the freeze as it is then.
	Made time.Time
}

var freezeName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// ValidName reports whether name is a valid name of a freeze.
func ValidName(name string) bool { return freezeName.MatchString(name) }

// Freeze makes name stand for the state at the moment at; the zero time means now. A name that
// already stands for another moment is refused (errs.Conflict): machines may rely on it.
func (c *Cache) Freeze(ctx context.Context, name string, at time.Time) (Freeze, error) {
	if !ValidName(name) {
		return Freeze{}, errs.Errorf(errs.Invalid, "freeze %.80q: want 1 to 64 of a-z, 0-9 and ._-, beginning with a letter or digit", name)
	}
	now := c.now().Truncate(time.Millisecond)
	f := Freeze{Name: name, At: at.Truncate(time.Millisecond), Made: now}
	if at.IsZero() {
		f.At = now
	}
	if f.At.After(now) {
		return Freeze{}, errs.Errorf(errs.Invalid, "freeze %s: %s is in the future", name, f.At.UTC().Format(time.RFC3339))
	}
	c.gate.RLock() // an eviction under way has chosen without this freeze
	defer c.gate.RUnlock()
	if err := c.facts.AddFreeze(ctx, f); err != nil {
		return Freeze{}, err
	}
	old, err := c.freeze(ctx, name)
	if err == nil && !at.IsZero() && !old.At.Equal(f.At) {
		err = errs.Hint(errs.Errorf(errs.Conflict, "freeze %s already stands for %s", name, old.At.UTC().Format(time.RFC3339)),
			"choose another name")
	}
	return old, err
}

// Thaw removes the freeze name: errs.NotFound when there is none.
func (c *Cache) Thaw(ctx context.Context, name string) error {
	if _, err := c.freeze(ctx, name); err != nil {
		return errs.Hint(err, "overland cache freezes lists them")
	}
	if err := c.facts.RemoveFreeze(ctx, name); err != nil {
		return err
	}
	return c.index.unpin(ctx, name)
}

// Freezes returns all freezes, sorted by name.
func (c *Cache) Freezes(ctx context.Context) ([]Freeze, error) { return c.facts.Freezes(ctx) }

func (c *Cache) freeze(ctx context.Context, name string) (Freeze, error) {
	f, err := c.facts.Freeze(ctx, name)
	if errs.KindOf(err) == errs.NotFound {
		err = errs.Hint(err, "overland cache freeze %.80s", name)
	}
	return f, err
}

// frozen returns the version of i in freeze f; false when the freeze does not have one yet.
func (x *index) frozen(ctx context.Context, f Freeze, i id) (version, bool, error) {
	if v, ok, err := x.pinned(ctx, f, i); ok || err != nil {
		return v, ok, err
	}
	return x.newest(ctx, i, f.At)
}

// Emptied reports whether the cache's directory was removed after f was made. Then f keeps its name
// and moment and still serves what never changes, but every list in it is gone.
func (c *Cache) Emptied(f Freeze) bool { return f.Made.Before(c.index.made) }
