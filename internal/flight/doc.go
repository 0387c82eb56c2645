// Package flight runs one call for all who want the same thing at the same time.
//
// A caller joins the call of a key, or starts it, and waits with its own context. The work has a
// context of its own: it keeps the values of whoever started it, but not its end. It is
// cancelled when the last waiter has left, unless somebody said that it is to go on (Keep,
// WaitFor). The last waiter to leave returns when the work has, so nothing runs behind its back,
// and two calls of one key never overlap.
//
// Touch nothing while holding the lock of a Group but the Group itself:
// progress callbacks run without it.
//
// Failure guarded: a thousand requests for one thing that ask its origin a thousand times; a
// transfer that dies because the first of its waiters went away; one that goes on for nobody.
package flight
