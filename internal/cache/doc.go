// Package cache is the pull-through cache of a site: it answers requests of the recorder's protocols from what it holds,
// and gets the rest from upstream, once for all who ask at the same time.
//
//	Cache    holds and gets; one per site directory, any number of readers
//	View     the same "as of" a moment: a freeze, with a name
//	Facts    what people said: freezes, the offline switch; kept elsewhere, for the directory may be removed
//	index    cache/index.db, SQLite: (protocol, key) → versions of an answer, newest first; the bytes are blobs of the depot
//
// The order of storing is record.Acquisition's; the row of the index comes last, after the blob is durable. So whatever
// ends the process, an answer is there whole and proved, or not at all; and an error or a short body never is.
//
// What can change (Item.Mutable) is asked for again after Options.Fresh, and each content that it ever had is a version
// of its own: that is what a freeze stands on. What cannot change is never asked for again; when it was evicted and
// upstream then has other bytes under the same name, that is an error with both digests.
//
// Failure guarded: an origin that is dead, slow, cut, wrong or changed its mind; ten thousand
// clients that ask for one thing; a disk that fills up; a kill -9 while storing; an eviction that
// takes what a release still names.
package cache
