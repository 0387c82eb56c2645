// Package stage brings what a source says onto a node's disk, and runs nothing of it.
//
//   - Plan verifies the source from the pinned root to the channel, and compares with what the node runs or refused
//   - Gather reads the releases, picks what is for this machine, and refuses a volume with any byte that was not signed
//   - Stage fetches the programs and writes the generation; Program brings another program for the agent itself
//
// It touches depot/, trust/ and upgrade/ below the node's directory, and writes a generation
// through package node. Apart from switchover, because this is where a node listens to
// strangers: what it stages is verified, and what switches never reads a source. Failure
// guarded: a node that runs what nobody signed.
package stage
