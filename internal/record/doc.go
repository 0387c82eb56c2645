// Package record keeps what builds fetch from the network, with its proof, and gives it back when every origin is gone.
//
//	client (go, npm, apt-get, curl …) → Handler → Getter → Acquisition → origin
//	                                              Getter → store (bytes) + lockfile.Lock (what they are, and why to trust them)
//
// A Protocol turns a request into an Item, checks what came for it before anything is stored, and rewrites on the way
// out. A Recorder fetches, once for all who ask at the same time, and remembers every answer, also "there is no such
// thing" and "not for you" when the origin says so. A Replayer knows the lock and the store only; what was never recorded
// is a *MissError, and what the disk has changed is refused. An Acquisition is the one order in which a thing is got: the
// site's cache uses it too.
//
// Protocols live in ecosystem/, the lock in lockfile.
//
// Failure guarded: an error page, a short body or changed content kept as if it were the thing; a build that quietly
// fetches something nobody reviewed.
package record
