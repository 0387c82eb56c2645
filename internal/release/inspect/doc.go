// Package inspect says what is inside a release and a volume, and whether its signatures hold.
//
// It is the one maker of nodeapi.Inspection, for the operator's command line and the node's, so
// that both print the same of one file. What it prints depends on the bytes alone: not on this
// machine's keys, nor on the root that it trusts. Whether a volume is to be trusted is what Verify
// says, by a root that the caller knows.
//
// It writes nothing but a folder for the verified metadata, which it removes again.
// Failures guarded: two programs that tell two stories of one file; a volume believed
// because of what it says of itself.
package inspect
