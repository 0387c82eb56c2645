// Package tool says what an ecosystem is to the rest of the house: one Tool, a program that
// fetches, how it is pointed at a listener of ours, and how its own settings become a
// record.Protocol. Each folder of ecosystem/ has one; the table of them all is ecosystem.Table.
//
// Failure guarded: knowledge of one ecosystem in a room that serves all of them, where
// the next ecosystem forgets it.
package tool
