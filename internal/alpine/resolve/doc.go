// Package resolve chooses the packages of a root file system: from what the indexes of Alpine repositories list, and what
// was wished for, one set that belongs together, in the order in which apk installs it, or a sentence that says why
// there is none.
//
// It is a pure function: no file, no network, no clock; the same indexes and wishes give the same set. It chooses as
// apk add does on a machine that has nothing installed: the newest version of the name that is asked for, of several
// packages that provide a name the highest provider_priority, then the first repository; what only provides a name
// without a version, and has no priority, is not chosen unless somebody names it; what has an install_if comes when all
// that it lists is there. Before anything is chosen, what cannot be is left out, and what must be is required, as apk
// does it. Two things are its own: it goes back and tries another choice where apk gives up, and of packages
// that are equal in all this the first name is taken, where apk takes the first that the index happens to have. A test
// compares the two on random sets.
//
// A cut is a dependency that is not followed, because what it is for is done by whoever asks; each cut that was made is
// a part of the answer.
//
// Failure guarded: a set whose packages conflict or lack something, which would be found on a node.
package resolve
