// Package lockfile reads, writes and compares overland.lock: every input of a build, by digest,
// with the reason to trust it. The format is docs/format/lock.md.
//
// It knows nothing of networks, protocols or stores: an Entry is data, and whether its proof holds
// is for the ecosystem that made it to say (see record.Verify).
//
// Failure guarded: a lock that a merge or an editor broke taken for a whole one;
// two texts for one set of inputs.
package lockfile
