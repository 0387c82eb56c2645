// Package verb is what all verbs of the command line have in common as commands: flags that
// several of them take, groups that only hold others, and the seam at which a test sees
// what the flags of a verb came to.
//
// A verb is a function of a Term and a Run: flags and arguments fill its options, and then it does
// nothing but call the Run. The tree of package cli gives it the one that does the work.
//
// Failure guarded: a flag that is parsed and then ignored, because no test can see where it went.
package verb
