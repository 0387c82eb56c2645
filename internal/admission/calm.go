package admission

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	calmLines  = 60          // of one message
	calmPeriod = time.Minute // in which so many are written
	calmKinds  = 1000        // different messages that are counted
)

// Calm returns h for a log that strangers can cause lines in: of one message it passes 60 a minute
// on. The first one of a later minute says in left_out how many were not.
func Calm(h slog.Handler) slog.Handler { return calm{h, &counts{by: map[kind]*count{}}} }

type calm struct {
	slog.Handler
	counts *counts
}

type kind struct {
	level   slog.Level
	message string
}

type count struct {
	since       time.Time
	lines, left int
}

// counts are shared by all that WithAttrs and WithGroup made of a handler.
type counts struct {
	mu sync.Mutex
	by map[kind]*count
}

// Handle implements slog.Handler.
func (c calm) Handle(ctx context.Context, r slog.Record) error {
	pass, left := c.counts.admit(kind{r.Level, r.Message}, time.Now())
	if !pass {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", left))
	}
	return c.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (c calm) WithAttrs(attrs []slog.Attr) slog.Handler {
	return calm{c.Handler.WithAttrs(attrs), c.counts}
}

// WithGroup implements slog.Handler.
func (c calm) WithGroup(name string) slog.Handler {
	return calm{c.Handler.WithGroup(name), c.counts}
}

// admit reports whether a line of k is written, and how many were left out before it.
func (c *counts) admit(k kind, now time.Time) (pass bool, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.by[k]
	if n == nil {
		if len(c.by) >= calmKinds {
			k = kind{k.level, ""} // messages that are not constant: together
			n = c.by[k]
		}
		if n == nil {
			n = &count{since: now}
			c.by[k] = n
		}
	}
	if now.Sub(n.since) >= calmPeriod {
		left = n.left
		*n = count{since: now}
	}
	if n.lines >= calmLines {
		n.left++
		return false, 0
	}
	n.lines++
	return true, left
}
