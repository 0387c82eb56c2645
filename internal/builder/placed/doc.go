// Package placed is what images and packages have in common: what they place at a path is an artifact, or a file or folder of
// the commit, with a mode and an owner. It has the keys of that in overland.yaml, and reads what the commit has.
//
// It touches the checkout that it is given, and follows none of its links.
//
// Failure guarded: a file that the commit does not have, or a link out of it, in what is made.
package placed
