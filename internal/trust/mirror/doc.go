// Package mirror keeps a verified copy of an operator's metadata, for a near site to hand on.
//
// A Mirror is a trust/client with a folder files/ beside its own files: what is there was verified,
// and is complete for the timestamp that is there. It may be removed at any time, but for the pin.
// Failure guarded: a reader that finds a timestamp before what it lists, and a site between
// operator and node that hands on what was never signed.
package mirror
