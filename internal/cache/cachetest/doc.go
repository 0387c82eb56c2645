// Package cachetest has the contract suite of cache.Facts, and an implementation in memory.
//
// Failure guarded: a Facts that forgets a freeze, changes one that machines rely on, or shows two
// processes different facts.
package cachetest
