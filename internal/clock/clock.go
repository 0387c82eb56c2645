package clock

import "time"

// Clock returns the current time of day, in UTC.
type Clock func() time.Time

// Real is the machine's clock.
func Real() time.Time { return time.Now().UTC() }

// At returns a Clock that stands still at t.
func At(t time.Time) Clock { return func() time.Time { return t.UTC() } }

// Or returns c, or Real when c is nil: the zero value of an Options field works.
func (c Clock) Or() Clock {
	if c == nil {
		return Real
	}
	return c
}
