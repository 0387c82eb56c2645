// Package sealing chooses what of a channel goes into a volume.
//
// Each application is judged alone, as nodes will do it: what they would refuse is left out, with a
// warning, and does not stop the others. Of the signed metadata only the channel's own statements
// and those that all channels share go in.
//
// It reads the depot and the state of the metadata that it is given, and writes nothing. Failures
// guarded: a volume with something that no node of its channel could use, or without something
// that one needs.
package sealing
