// Package resolve chooses the packages of a root file system: from what the indexes of Debian archives
// list, and what was wished for, one set that belongs together, or a sentence that says why there is none.
//
// It is a pure function: no file, no network, no clock; the same indexes and wishes give the same
// set. It chooses as apt-get install --no-install-recommends does on a machine that has nothing
// installed, so that what people know of apt holds: the first alternative that can be had, the real
// package before those that provide its name, then Essential, then the higher priority. Two things
// are its own. It goes back and tries another alternative where apt gives up, and it keeps nothing
// that no package of the set depends on. A test compares the two on random sets.
//
// A cut is a dependency that is not followed, because what it is for is done by whoever asks; each cut
// that was made is a part of the answer.
//
// Failure guarded: a set whose packages conflict or lack something, which would be found on a node.
package resolve
