// Package clock is the time of day as a value that can be passed in, so that a test can be in 1970.
//
// Only decisions by wall-clock time (expiry, signing) take a Clock; waiting uses package time,
// which testing/synctest fakes. Failure guarded: a machine's wrong clock decides what is trusted
// (see trust for the floor under it).
package clock
