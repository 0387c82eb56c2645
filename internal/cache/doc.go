// Package cache is the pull-through cache of a site: it answers requests of the recorder's
// protocols from what it holds, and fetches the rest from upstream, with one transfer for all
// clients that ask at the same time.
//
//	Cache    holds and fetches; one per site directory, any number of readers
//	View     the cache as of a named moment, a freeze
//	Facts    what people decided: freezes, the offline switch; kept elsewhere, since the directory may be removed
//	index    cache/index.db, SQLite: (protocol, key) → versions of an answer; the bytes are blobs of the depot
//
// Answers are stored in the order of record.Acquisition; the row of the index comes last, after the
// blob is durable. So whatever ends the process, an answer is there whole and proved, or not at
// all. Errors and short bodies are never stored.
//
// What can change (Item.Mutable) is revalidated after Options.Fresh, and each content that it ever
// had is a version of its own: that is what a freeze stands on. What cannot change is never fetched
// twice, unless it was evicted; if upstream then has other bytes under the same name, that is an
// error with both digests.
//
// Failure guarded: an origin that is dead, slow, cut off, wrong or has changed its mind; ten
// thousand clients asking for one thing; a disk that fills up; a kill -9 while storing; an eviction
// that removes what a release still names.
package cache
