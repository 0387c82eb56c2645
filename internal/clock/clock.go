// Package clock is the time of day as a value that can be passed in, so that a test can be in 1970.
//
// Only decisions by wall-clock time (expiry, signing) take a Clock; waiting uses package time,
// which testing/synctest fakes. Failure guarded: a machine's wrong clock decides what is trusted
// (see trust for the floor under it).
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
