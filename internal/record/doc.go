// Package record keeps what builds fetch from the network, with its proof, and serves it when every
// origin is gone.
//
//	client (go, npm, apt-get, curl …) → Handler → Getter → Acquisition → origin
//	                                              Getter → store (bytes) + lockfile.Lock (what they are, and why to trust them)
//
// A Protocol turns a request into an Item, checks the answer before anything is stored, and
// rewrites it on the way out. A Recorder fetches, with one transfer for all clients that ask at the
// same time, and remembers every answer, including the origin's "not found" and "forbidden". A
// Replayer knows only the lock and the store; what was never recorded is a *MissError, and what the
// disk has changed is refused. An Acquisition is the one order of steps in which anything is
// fetched; the site's cache uses it too.
//
// Clients get bytes while they come (stream.go); the end is kept back until the whole is proved.
//
// Protocols live in ecosystem/, the lock in lockfile.
//
// Failure guarded: an error page, a short body or changed content stored as if it were the real
// thing; a build that quietly fetches something nobody reviewed.
package record
