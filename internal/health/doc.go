// Package health remembers, for a while, what is not well, so that nobody asks it again each time.
//
//   - Memory: facts that hold for some time: an origin is down, nobody has a blob
//   - Record: how one source did lately, and when it is worth asking again
//   - Trouble: a failure that is logged when it begins, when its reason changes and when it ends, not each time
//
// Failure guarded: a thousand small requests that each wait for the same dead peer; a log full of
// one line; a memory of what strangers ask for that grows without end.
package health
