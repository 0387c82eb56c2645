// Package node is what a machine remembers on its disk, and the one way in
// which it changes what it runs.
//
// Files, below the node's directory:
//
//	lock               held by the one agent
//	state.a, state.b   two checksummed copies of the State; the newer valid one counts, the older one is overwritten
//	gen/N/             one complete installed state: generation.json (twice) and bin/APP/FILE
//	current → gen/N    what runs
//	good → gen/N       the last generation that proved itself; only read when both copies of the state are lost
//
// The switch: Stage writes gen/N.tmp, syncs, verifies and renames it; Begin writes the intent
// durably and swaps current; Try counts an attempt durably BEFORE the caller starts anything; Good
// or Fail+Back end it. Whatever is cut at whatever point, Open finds either the old or the new
// generation and a decision that is left to make.
//
// Failure guarded: a node that is between two states, or stuck in a bad
// one, after a crash or power cut.
package node
